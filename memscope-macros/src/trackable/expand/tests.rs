//! Tests the implementations for each kind of type, and that any input produces output.

use super::derive;
use crate::syntax::tokens;
use proc_macro2::TokenStream;
use proptest::prelude::*;
use quote::quote;

/// One of the two implementations.
fn implementation(head: &TokenStream, method: &TokenStream, body: &TokenStream) -> TokenStream {
    quote! {
        #[automatically_derived]
        #head {
            fn #method(&self, __memscope_blocks: &mut ::memscope_rs::Blocks<'_>) { #body }
        }
    }
}

fn steps() -> TokenStream {
    quote! {
        use ::memscope_rs::__private::{ByContents as _, ByHandle as _, ByParts as _, ByValue as _};
    }
}

#[track_caller]
fn assert_same(found: &TokenStream, expected: &TokenStream) {
    let text = |tokens: &TokenStream| tokens.to_string().replace(' ', "");
    assert_eq!(text(found), text(expected));
}

#[test]
fn every_field_is_shown_and_every_type_parameter_bound() {
    let found = derive(
        quote! {
            /// Documented.
            #[repr(C)]
            pub(crate) struct Cache<'a, T: Fn(A) -> B = C, const N: usize = { 1 }>
            where
                T: D<{ N }>,
            {
                #[doc = ""]
                pub(in a::b) rows: HashMap<A, B>,
                #[trackable(skip)]
                skipped: A,
                r#type: fn(A, B) -> C,
            }
        },
        true,
    );
    let steps = steps();
    let plain = quote! {
        #steps
        match self {
            Self { rows: __memscope_field0, r#type: __memscope_field1, .. } => {
                (&&&::memscope_rs::__private::Value(__memscope_field0)).__memscope_show(__memscope_blocks);
                (&&&::memscope_rs::__private::Value(__memscope_field1)).__memscope_show(__memscope_blocks);
            }
        }
    };
    let deep = quote! {
        #steps
        match self {
            Self { rows: __memscope_field0, r#type: __memscope_field1, .. } => {
                (&&&&::memscope_rs::__private::Value(__memscope_field0)).__memscope_show_deep(__memscope_blocks);
                (&&&&::memscope_rs::__private::Value(__memscope_field1)).__memscope_show_deep(__memscope_blocks);
            }
        }
    };
    let head = |interface: TokenStream| {
        quote! {
            impl<'a, T: Fn(A) -> B, const N: usize> ::memscope_rs::#interface for Cache<'a, T, N>
            where T: D<{ N }>, T: ::memscope_rs::#interface,
        }
    };
    let plain = implementation(&head(quote!(Trackable)), &quote!(visit), &plain);
    let deep = implementation(&head(quote!(Contents)), &quote!(visit_contents), &deep);
    assert_same(&found, &quote!(#plain #deep));
}

#[test]
fn variants_are_told_apart() {
    let found = derive(
        quote! {
            enum E { A = 1 << 2, #[doc = ""] B(T, #[trackable(skip)] U, V<W, X>) = f::<Y, Z>(), C { a: T }, D = <T as U<V, W>>::X, F {}, }
        },
        true,
    )
    .to_string();
    for pattern in [
        "Self :: A { .. }",
        "Self :: B { 0 : __memscope_field0 , 2 : __memscope_field1 , .. }",
        "Self :: C { a : __memscope_field0 , .. }",
        "Self :: D { .. }",
        "Self :: F { .. }",
    ] {
        assert_eq!(found.matches(pattern).count(), 2, "{pattern} in {found}");
    }
    let found = derive(
        quote!(
            enum Never {}
        ),
        true,
    )
    .to_string();
    assert_eq!(found.matches("match * self { }").count(), 2, "{found}");
}

#[test]
fn nothing_is_shown_where_tracking_is_off() {
    let head = |interface: TokenStream| quote!(impl<> ::memscope_rs::#interface for S<> where);
    let body = quote!(match self {
        Self { 0: __memscope_field0, .. } => {
            let _ = __memscope_field0;
        }
    });
    let plain = implementation(&head(quote!(Trackable)), &quote!(visit), &body);
    let deep = implementation(&head(quote!(Contents)), &quote!(visit_contents), &body);
    assert_same(
        &derive(
            quote!(
                struct S(Vec<A>);
            ),
            false,
        ),
        &quote!(#plain #deep),
    );
}

#[test]
fn the_facade_is_where_it_is_said_to_be() {
    let found = derive(
        quote!(
            #[trackable(crate = a::b)]
            struct S<T>(T);
        ),
        true,
    )
    .to_string();
    assert!(!found.contains("memscope_rs") && found.contains("T : a :: b :: Trackable"), "{found}");
}

#[test]
fn a_mistake_is_one_error_and_the_type_still_implements_both() {
    for item in [
        quote!(union U { a: u8 }),
        quote!(
            #[repr(C, packed)]
            struct S(u8);
        ),
        quote!(
            #[trackable]
            struct S(u8);
        ),
        quote!(
            #[trackable = "skip"]
            struct S(u8);
        ),
        quote!(
            #[trackable(skip)]
            struct S(u8);
        ),
        quote!(
            #[trackable("skip")]
            struct S(u8);
        ),
        quote!(
            #[trackable(krate = a)]
            struct S(u8);
        ),
        quote!(
            #[trackable(crate)]
            struct S(u8);
        ),
        quote!(
            #[trackable(crate = 5)]
            struct S(u8);
        ),
        quote!(
            #[trackable(crate = a, crate = b)]
            struct S(u8);
        ),
        quote!(
            struct S(#[trackable(skip, skip)] u8);
        ),
        quote!(
            struct S(#[trackable(skip = true)] u8);
        ),
        quote!(
            struct S {
                #[trackable(crate = a)]
                a: u8,
            }
        ),
        quote!(
            enum E {
                #[trackable(skip)]
                A,
            }
        ),
        quote!(
            enum E {
                #[trackable(deep)]
                A,
            }
        ),
        quote!(
            enum E {
                A(#[trackable(deep)] u8),
            }
        ),
    ] {
        let found = derive(item.clone(), true).to_string();
        assert_eq!(found.matches("compile_error").count(), 1, "{item}: {found}");
        assert_eq!(found.matches("impl <").count(), 2, "{item}: {found}");
    }
}

#[test]
fn angle_brackets_that_are_not_closed_are_no_type() {
    for item in [quote!(struct S < T 'a), quote!(struct S <), quote!(struct S < T; )] {
        let found = derive(item.clone(), true).to_string();
        assert!(found.contains("expected a struct or an enum"), "{item}: {found}");
        assert!(found.parse::<TokenStream>().is_ok(), "{item}: {found}");
    }
}

fn types() -> impl Strategy<Value = TokenStream> {
    let tokens = || tokens("trackable");
    prop_oneof![
        tokens(),
        (tokens(), tokens()).prop_map(|(generics, fields)| quote!(struct S<#generics> { #fields })),
        (tokens(), tokens()).prop_map(|(fields, rest)| quote!(struct S(#fields) where #rest;)),
        (tokens(), tokens(), tokens())
            .prop_map(|(attribute, a, b)| quote!(#[trackable(#attribute)] enum E { #a, B(#b), #[trackable(#a)] C { #b } = #a })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_input_gives_tokens_that_can_be_read_again(item in types(), is_enabled: bool) {
        let found = derive(item, is_enabled).to_string();
        prop_assert!(found.parse::<TokenStream>().is_ok(), "{}", found);
    }
}
