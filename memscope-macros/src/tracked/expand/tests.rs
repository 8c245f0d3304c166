//! Tests the expansion of each kind of item, and that any input produces output.

use super::{plain, tracked};
use crate::syntax::{Attribute, Cursor, tokens};
use crate::tracked::output_type::may_be_future;
use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use proptest::prelude::*;
use quote::{ToTokens, quote};

/// The call around the future, which is the same everywhere. `arguments` are the sizes that are
/// summed up; `None` if they are unknown.
fn track(
    name: &str,
    task_type: &str,
    arguments: Option<&TokenStream>,
    future: &TokenStream,
) -> TokenStream {
    let arguments = arguments.map_or_else(
        || quote!(::core::option::Option::None),
        |sizes| quote!(::core::option::Option::Some(0_usize #sizes)),
    );
    let task_type = Ident::new(task_type, Span::call_site());
    quote! {
        ::memscope_rs::__private::track(
            {
                static __MEMSCOPE_CALLSITE: ::memscope_rs::__private::Callsite =
                    ::memscope_rs::__private::Callsite::new(
                        #name, ::memscope_rs::__private::TaskType::#task_type, ::core::file!(), 0,
                    );
                &__MEMSCOPE_CALLSITE
            },
            #arguments,
            #future
        )
    }
}

fn hint(output: &TokenStream) -> TokenStream {
    quote! {
        if let ::core::option::Option::Some(__memscope_output) = ::core::option::Option::None::<#output> {
            return __memscope_output;
        }
    }
}

#[track_caller]
fn assert_same(found: &TokenStream, expected: &TokenStream) {
    assert_eq!(text(found), text(expected));
}

/// Returns the text without spaces: `>>` may be one token or two.
fn text(tokens: &TokenStream) -> String {
    tokens.to_string().replace(' ', "")
}

#[test]
fn function_returns_a_tracked_async_block() {
    let found = tracked(
        quote!(task_type = "io", name = "loads"),
        quote!(
            #[doc = " d"]
            pub(crate) async unsafe fn load<'a, F: Fn(A) -> B, T: Into<A>>(
                path: &'a str,
            ) -> B<'a, T>
            where
                T: C,
            {
                body()
            }
        ),
    );
    let hint = hint(&quote!(B<'a, T>));
    let call = track(
        "loads",
        "IoIntensive",
        Some(&quote!(+ ::core::mem::size_of::<&'a str>())),
        &quote!(async move { let _ = &path; if false { let path = path; #hint loop {} } match () { () => { body() } } }),
    );
    assert_same(
        &found,
        &quote! {
            #[doc = " d"] #[allow(clippy::async_yields_async)]
            pub(crate) unsafe fn load<'a, F: Fn(A) -> B, T: Into<A>>(path: &'a str,)
            -> impl ::core::future::Future<Output = B<'a, T> > where T: C, { #call }
        },
    );
}

#[test]
fn arguments_stay_where_they_are_unless_the_drop_order_needs_them_moved() {
    let found = tracked(
        TokenStream::new(),
        quote!(
            async fn f(n: [u8; 9], mut a: A, b: &mut B, mut c: C, (d, _): D, _: E, _f: F) {
                n;
                a;
                b;
                c;
                d
            }
        ),
    );
    let hint = hint(&quote!(()));
    let call = track(
        "f",
        "Unspecified",
        Some(&quote! {
            + ::core::mem::size_of::<[u8; 9]>() + ::core::mem::size_of::<A>() + ::core::mem::size_of::<&mut B>()
            + ::core::mem::size_of::<C>() + ::core::mem::size_of::<D>() + ::core::mem::size_of::<E>()
            + ::core::mem::size_of::<F>()
        }),
        &quote! {
            async move {
                let _ = &n;
                let _ = &a;
                let _ = &b;
                let (mut c,) = (c,);
                let __memscope_arg4 = __memscope_arg4;
                let (d, _) = __memscope_arg4;
                let __memscope_arg5 = __memscope_arg5;
                let __memscope_arg6 = __memscope_arg6;
                if false { #hint loop {} }
                match () { () => { n; a; b; c; d } }
            }
        },
    );
    assert_same(
        &found,
        &quote! {
            fn f(n: [u8; 9], mut a: A, b: &mut B, c: C, __memscope_arg4: D, __memscope_arg5: E, __memscope_arg6: F,)
            -> impl ::core::future::Future<Output = ()> where { #call }
        },
    );
}

#[test]
fn async_fn_is_kept_for_other_macros_to_see() {
    let hint = hint(&quote!(T));
    let call = track(
        "f",
        "Unspecified",
        Some(&quote! {
            + ::memscope_rs::__private::size_of(&self) + ::core::mem::size_of::<Pair>() + ::core::mem::size_of::<C>()
        }),
        &quote! {
            async move {
                let _ = &c;
                let _ = &b;
                let _ = &self;
                if false { #hint loop {} }
                match () { () => { b + c } }
            }
        },
    );
    for attribute in [
        quote!(#[tokio::main]),
        quote!(#[must_use]),
        quote!(#[cfg_attr(test, allow(dead_code), instrument)]),
        quote!(#[unsafe(no_mangle)]),
        quote!(#[salsa::tracked]),
    ] {
        let found = tracked(
            TokenStream::new(),
            quote!(#attribute async fn f(&self, Pair { b, x: _ }: Pair, c: C,) -> T { b + c }),
        );
        let expected = quote! {
            #attribute #[allow(clippy::async_yields_async)]
            async fn f(&self, Pair { b, x: _ }: Pair, c: C,) -> T { #call.await }
        };
        assert_same(&found, &expected);
    }
    for attribute in [
        quote!(#[doc = ""]),
        quote!(#[cfg_attr(test, inline, clippy::x)]),
        quote!(#[rustfmt::skip]),
    ] {
        let found = tracked(TokenStream::new(), quote!(#attribute async fn f(&self) {}));
        assert!(!found.to_string().contains("await"), "{found}");
    }
}

#[test]
fn output_types_keep_their_meaning() {
    let expand =
        |ty: TokenStream| text(&tracked(TokenStream::new(), quote!(async fn f() -> #ty { x })));
    let contains = |ty: TokenStream, part: TokenStream| {
        let found = expand(ty);
        assert!(found.contains(&text(&part)), "no {part} in {found}");
    };
    contains(
        quote!(Result<impl Iterator<Item = u8> + Fn(u8) -> u8, (E, [impl A<B, C>; 2])>),
        quote!(None::<Result<_, (E, [_; 2])>>),
    );
    contains(quote!(!), quote!(.await {}));
    contains(quote!(!), quote!(None::<::core::convert::Infallible>));
    assert!(!expand(quote!(impl A)).contains("None"), "nothing can be said of an `impl Trait`");
}

#[test]
fn futures_made_by_other_macros_are_found() {
    let hidden = quote!(let x = 1; Box::pin(async move { body }));
    for (body, wrapped) in [
        (hidden, quote!(let x = 1; Box::pin(TRACKED))),
        (quote!(::std::boxed::Box::pin(async { body },)), quote!(::std::boxed::Box::pin(TRACKED))),
        (quote!(let body = async { body }; run(body)), quote!(let body = TRACKED; run(body))),
        (quote!(async move { body }), quote!(TRACKED)),
    ] {
        let found = tracked(TokenStream::new(), quote!(fn f() -> X { #body })).to_string();
        let future = if body.to_string().contains("move") {
            quote!(async move { body })
        } else {
            quote!(async { body })
        };
        let call = track("f", "Unspecified", None, &future).to_string();
        assert_eq!(found.replace(&call, "TRACKED"), quote!(fn f() -> X { #wrapped }).to_string());
    }
}

#[test]
fn blocks_are_tracked_function_by_function() {
    let found = tracked(
        quote!(task_type = "cpu", crate = a::b),
        quote! {
            mod m {
                const X: bool = 1 < 2;
                impl<T> a::Trait<for<'x> fn(&'x T)> for &'static mut b::Type<T> where T: C {
                    async fn plain() {}
                    #[tracked(name = "other", task_type = "io")] async fn named() {}
                    #[memscope_rs::tracked(skip)] async fn skipped() {}
                    fn sync() {}
                }
                trait Owner: Super { async fn declared(); async fn defined() {} }
                struct S<const N: usize = { 1 }>;
                async fn last() {}
            }
        },
    )
    .to_string();
    for (name, task_type) in [
        ("\"Type::plain\"", "CpuIntensive"),
        ("\"other\"", "IoIntensive"),
        ("\"Owner::defined\"", "CpuIntensive"),
        ("\"last\"", "CpuIntensive"),
    ] {
        let row = format!("{name} , a :: b :: __private :: TaskType :: {task_type}");
        assert!(found.contains(&row), "no {row} in {found}");
    }
    assert_eq!(found.matches("static __MEMSCOPE_CALLSITE").count(), 4);
    for untouched in [
        quote!(
            const X: bool = 1 < 2;
        ),
        quote!(
            async fn skipped() {}
            fn sync() {}
        ),
        quote!(
            async fn declared();
        ),
    ] {
        assert!(found.contains(&untouched.to_string()), "no {untouched} in {found}");
    }
    assert!(!found.contains("tracked (") && !found.contains("compile_error"), "{found}");
}

#[test]
fn plain_only_takes_the_attributes_off() {
    let found = plain(quote! {
        mod m { #![allow(x)] #[tracked(skip)] async fn f() { #[tracked] fn g() {} } impl A { #[a] #[b::tracked] async fn f() {} } }
    });
    assert_same(
        &found,
        &quote! { mod m { #![allow(x)] async fn f() { #[tracked] fn g() {} } impl A { #[a] async fn f() {} } } },
    );
}

#[test]
fn a_mistake_leaves_the_item_as_it_was_and_adds_one_error() {
    for (arguments, item) in [
        (
            quote!(kind = "io"),
            quote!(
                async fn f(x: u8) {}
            ),
        ),
        (
            quote!(),
            quote!(
                pub const async unsafe extern "C" fn f() {}
            ),
        ),
        (
            quote!(),
            quote!(
                fn f() {}
            ),
        ),
        (
            quote!(),
            quote!(
                struct S;
            ),
        ),
        (
            quote!(),
            quote!(
                const X: u8 = 1;
            ),
        ),
        (
            quote!(skip),
            quote!(
                async fn f() {}
            ),
        ),
        (quote!(name = "x"), quote!(impl S {})),
        (
            quote!(),
            quote!(
                mod foo;
            ),
        ),
        (
            quote!(),
            quote!(
                #[x]
                impl S {
                    #[y]
                    fn f() {}
                }
            ),
        ),
    ] {
        let found = tracked(arguments, item.clone()).to_string();
        let errors = usize::from(!item.to_string().starts_with("# [x]"));
        assert!(found.starts_with(&item.to_string()), "{item} became {found}");
        assert_eq!(found.matches("compile_error").count(), errors, "{found}");
    }
}

/// Generates well-formed items around tokens that need not be well-formed.
fn items(word: &'static str) -> impl Strategy<Value = TokenStream> {
    let function = (tokens(word), tokens(word), tokens(word), any::<bool>())
        .prop_map(|(inputs, output, body, is_async)| {
            let asyncness = is_async.then(|| quote!(async));
            quote!(#asyncness fn f(#inputs) -> #output { #body })
        })
        .boxed();
    prop_oneof![
        tokens(word),
        function.clone(),
        (tokens(word), proptest::collection::vec(function.clone(), 0..4), tokens(word))
            .prop_map(|(header, functions, rest)| quote!(impl #header { #(#functions)* #rest })),
        (tokens(word), proptest::collection::vec(function, 0..4))
            .prop_map(|(rest, functions)| quote!(mod m { #rest #(#functions)* })),
    ]
}

/// Counts the tokens, including those in groups, and without invisible groups.
fn count(tokens: TokenStream) -> usize {
    tokens
        .into_iter()
        .map(|tree| match tree {
            TokenTree::Group(group) => {
                usize::from(group.delimiter() != Delimiter::None) + count(group.stream())
            }
            _ => 1,
        })
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_input_gives_tokens_that_can_be_read_again(arguments in tokens("tracked"), item in items("tracked")) {
        let found = tracked(arguments, item).to_string();
        prop_assert!(found.parse::<TokenStream>().is_ok(), "{}", found);
    }

    #[test]
    fn nothing_is_lost_where_nothing_is_tracked(item in items("untracked")) {
        prop_assert_eq!(count(plain(item.clone())), count(item));
    }
}

#[test]
fn only_a_type_that_cannot_be_a_future_by_its_spelling_is_none() {
    let is = |ty: &str| may_be_future(ty.parse().expect("tokens"));
    for ty in [
        "JoinHandle<u8>",
        "impl Future<Output = u8>",
        "Pin<Box<dyn Future<Output = u8>>>",
        "F",
        "&'a mut F",
        "Self",
        "<Vec<F> as IntoIterator>::Item",
        "(Ready<u8>)",
        "::std::future::Ready<u8>",
    ] {
        assert!(is(ty), "{ty}");
    }
    for ty in [
        "u8",
        "&'static str",
        "&[u8]",
        "Vec<JoinHandle<u8>>",
        "std::io::Result<JoinHandle<u8>>",
        "()",
        "(Ready<u8>, u8)",
        "(Ready<u8>,)",
        "[u8; 3]",
        "!",
        "*const u8",
        "::std::string::String",
    ] {
        assert!(!is(ty), "{ty}");
    }
}

#[test]
fn what_is_expected_is_allowed() {
    let shown = |attribute: TokenStream| {
        let attribute = Attribute::parse(&mut Cursor::new(attribute)).expect("an attribute");
        attribute.allowing().to_token_stream().to_string().replace(' ', "")
    };
    let expected = quote!(#[expect(unused, reason = "for now")]);
    assert_eq!(shown(expected), "#[allow(unused,reason=\"fornow\")]");
    let expected = quote!(#[cfg_attr(expect, expect(a), cfg_attr(all(), deny(b), expect(c)))]);
    assert_eq!(shown(expected), "#[cfg_attr(expect,allow(a),cfg_attr(all(),deny(b),allow(c)))]");
    assert_eq!(shown(quote!(#[doc = "expect"])), "#[doc=\"expect\"]");
    assert_eq!(shown(quote!(#[expect])), "#[expect]");
}

#[test]
fn a_budget_is_a_number_of_bytes_also_of_each_function_in_a_block() {
    let item = quote! {
        impl Service {
            async fn small() {}
            #[tracked(budget = "1GiB")] async fn large() {}
            #[tracked(skip)] async fn none() {}
        }
    };
    let found = text(&tracked(quote!(budget = "64KiB"), item));
    assert_eq!(found.matches(".budget(65536u64)").count(), 1, "{found}");
    assert_eq!(found.matches(".budget(1073741824u64)").count(), 1, "{found}");
    let plain = text(&tracked(
        quote!(),
        quote!(
            async fn f() {}
        ),
    ));
    assert!(!plain.contains("budget"), "{plain}");
}
