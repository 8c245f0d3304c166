//! Tests the expansion and the name of each kind of place, and that any input produces output.

use super::track_var;
use crate::syntax::tokens;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use proptest::prelude::*;
use quote::quote;

/// The expected expansion for one place.
fn look(place: &TokenStream, name: &str, show: &TokenStream) -> TokenStream {
    quote! {
        match &#place {
            __memscope_value => {
                static __MEMSCOPE_VARIABLE: ::memscope_rs::__private::VariableCallsite =
                    ::memscope_rs::__private::VariableCallsite::new(#name, ::core::file!(), 0, 0);
                use ::memscope_rs::__private::{ByContents as _, ByHandle as _, ByParts as _, ByValue as _};
                ::memscope_rs::__private::track_value(&__MEMSCOPE_VARIABLE, __memscope_value, |__memscope_blocks| #show);
            }
        };
    }
}

fn plainly() -> TokenStream {
    quote!(
        (&&&::memscope_rs::__private::Value(__memscope_value)).__memscope_show(__memscope_blocks)
    )
}

fn deeply() -> TokenStream {
    quote!(
        (&&&&::memscope_rs::__private::Value(__memscope_value))
            .__memscope_show_deep(__memscope_blocks)
    )
}

fn parse(text: &str) -> TokenStream {
    text.parse().expect("tokens")
}

/// The invisible group around an interpolated `$x`.
fn interpolated(tokens: TokenStream) -> TokenTree {
    Group::new(Delimiter::None, tokens).into()
}

/// Returns the names of the tracked places, and the first mistake.
fn read(input: TokenStream) -> (Vec<String>, Option<String>) {
    let output = track_var(input, true).to_string();
    let string = |text: &str| {
        let mut tokens = parse(text).into_iter();
        let literal = tokens.next().expect("a string");
        syn::parse2::<syn::LitStr>(TokenTree::into(literal)).expect("a string").value()
    };
    let strings = |before: &str| {
        output
            .split(before)
            .skip(1)
            .map(|rest| {
                let end =
                    rest[1..].match_indices('"').find(|(at, _)| !rest[..=*at].ends_with('\\'));
                string(&rest[..end.expect("its end").0 + 2])
            })
            .collect::<Vec<_>>()
    };
    let mistake = strings(":: core :: compile_error ! { ").into_iter().next();
    (strings("VariableCallsite :: new ("), mistake)
}

#[test]
fn each_place_is_looked_at_in_order() {
    let found = track_var(quote!(a, deep: self.parts[i + 1].0.1, *b), true);
    let looks = [
        look(&quote!(a), "a", &plainly()),
        look(&parse("self.parts[i + 1].0.1"), "self.parts[i + 1].0.1", &deeply()),
        look(&quote!(*b), "*b", &plainly()),
    ];
    assert_eq!(found.to_string(), quote!({ #(#looks)* }).to_string());
}

#[test]
fn nothing_is_run_where_tracking_is_off() {
    let found = track_var(quote!(a, deep: self.b), false);
    let expected = quote!({
        if false {
            match &a {
                _ => {}
            };
            match &self.b {
                _ => {}
            };
        }
    });
    assert_eq!(found.to_string(), expected.to_string());
    assert!(track_var(quote!(a + b), false).to_string().contains("compile_error"));
}

#[test]
fn the_facade_is_where_it_is_said_to_be() {
    for input in
        [quote!(crate = a::b, x, y), quote!(x, y, crate = a::b), quote!(x, crate = a::b, y,)]
    {
        let found = track_var(input, true).to_string();
        assert!(!found.contains("memscope_rs"), "{found}");
        assert_eq!(found.matches("a :: b :: __private :: track_value").count(), 2, "{found}");
    }
}

#[test]
fn places_are_named_as_they_are_written() {
    for place in [
        "x",
        "self",
        "Self::POOL",
        "crate::state::POOL",
        "::a::B",
        "super::b",
        "deep",
        "deep::X",
        "self.field.0.1",
        "self.0.1.2",
        "items[0][i + 1].name",
        "(x)",
        "((x).y)[0]",
        "*x",
        "**x",
        "*(*x).y",
        "(*self).x",
        "map[\"key, with \\\" comma\"]",
        "map[&(a, b)]",
        "items[{ x }]",
        "*lock.lock().unwrap()",
        "*lock.lock().await",
        "cell.borrow().rows",
        "find(a, b)?.rows",
        "parse::<Vec<u8>>(x)[0]",
        "x.parse::<Vec<u8>>().rows[..n]",
        "*self.of::<'a, T>()",
        "Vec::<u8>::EMPTY",
    ] {
        assert_eq!(read(parse(place)), (vec![place.to_owned()], None), "{place}");
        let twice = parse(&format!("{place}, deep: {place},"));
        assert_eq!(read(twice), (vec![place.to_owned(); 2], None), "{place}");
    }
    assert_eq!(read(parse("r#type . r#fn")).0, ["type.fn"]);
}

#[test]
fn interpolated_places_keep_their_meaning() {
    let (x, y) = (interpolated(quote!(*a)), interpolated(quote!(b.c)));
    assert_eq!(
        read(quote!(#x.d, #x, *#x, *#y, #y[0])).0,
        ["(*a).d", "*a", "**a", "*b.c", "b.c[0]"]
    );
    let nested = interpolated(interpolated(quote!(x)).into());
    assert_eq!(read(quote!(#nested.y)).0, ["x.y"]);
    let (number, name) = (interpolated(quote!(0)), interpolated(quote!(field)));
    assert_eq!(read(quote!(x.#number, x.#name)).0, ["x.0", "x.field"]);
    let sum = interpolated(quote!(a + b));
    let (names, mistake) = read(quote!(#sum, c));
    assert_eq!(names, ["c"]);
    assert!(mistake.is_some_and(|text| text.starts_with("found `+`")));
}

#[test]
fn one_mistake_is_one_error_and_the_rest_is_tracked() {
    for wrong in [
        "5",
        "\"a\"",
        "true",
        "f()",
        "x.f()",
        "x.f::<A, B>()",
        "(f())",
        "&x",
        "&mut x",
        "&&x",
        "& &x.f()",
        "a + b",
        "-a",
        "!a",
        "a == b",
        "a..b",
        "..",
        "a..=b",
        "{ a, b }",
        "unsafe { a }",
        "async { a }",
        "async move { a }",
        "if a { b } else { c }",
        "match a { b => c, d => e }",
        "return",
        "return a",
        "break 'a",
        "vec![a, b]",
        "a::vec!(a, b)",
        "|a, b| a",
        "|| a",
        "move |a, b| c",
        "move || a",
        "()",
        "(a, b)",
        "[a, b]",
        "mut a",
        "ref a",
        "_",
        "Vec<i32>",
        "[u8; 4]",
        "&'static str",
        "a.await",
        "a?",
        "a as u8",
        "a = 5",
        "a += 5",
        "a b",
        "a 5",
        "a.",
        "a..",
        "a.5u8",
        "a.1e5",
        "a.'b",
        "a[]",
        "*",
        "a::",
        "::",
        "deep:",
        "deep: deep: a",
        "depp: a",
        "quickly:",
        "krate = b",
        "crate =",
        "crate = 5",
        "crate = a b",
        "a: u8",
        "'a: loop {}",
        "#[b] a",
        "S { a, b }",
        "a!",
        "let a = 5",
        "a.b::<C>",
        "fn",
        "<A as B>::C",
    ] {
        let all = parse(&format!("first, {wrong}, last"));
        let output = track_var(all, true).to_string();
        assert_eq!(output.matches("compile_error").count(), 1, "{wrong}: {output}");
        for name in ["first", "last"] {
            assert!(output.contains(&format!("match & {name} {{")), "{wrong}: {output}");
        }
        let alone = track_var(parse(wrong), true).to_string();
        assert_eq!(alone.matches("compile_error").count(), 1, "{wrong}: {alone}");
    }
    for (wrong, mistakes) in [
        ("", 1),
        (",", 1),
        (",,", 2),
        ("a,,b", 1),
        ("crate = a", 1),
        ("crate = a, crate = b, c", 1),
    ] {
        let output = track_var(parse(wrong), true).to_string();
        assert_eq!(output.matches("compile_error").count(), mistakes, "{wrong}: {output}");
    }
}

/// Generates places together with their names.
fn places() -> impl Strategy<Value = String> {
    let name = || proptest::sample::select(&["x", "self", "items", "deep", "r", "POOL"][..]);
    let index = prop_oneof![
        Just("0".to_owned()),
        name().prop_map(|name| format!("{name} + 1")),
        name().prop_map(|name| format!("..{name}.len()")),
        name().prop_map(|name| format!("&({name}, -1)")),
    ];
    let base = prop_oneof![
        name().prop_map(str::to_owned),
        (name(), name()).prop_map(|(module, name)| format!("crate::{module}::{name}")),
        name().prop_map(|name| format!("::{name}")),
    ];
    base.prop_recursive(6, 12, 1, move |inner| {
        let of = |inner: &str| {
            if inner.starts_with('*') { format!("({inner})") } else { inner.to_owned() }
        };
        prop_oneof![
            inner.clone().prop_map(|inner| format!("*{inner}")),
            inner.clone().prop_map(|inner| format!("({inner})")),
            (inner.clone(), name()).prop_map(move |(inner, name)| format!("{}.{name}", of(&inner))),
            (inner.clone(), 0..12_u8)
                .prop_map(move |(inner, index)| format!("{}.{index}", of(&inner))),
            (inner.clone(), index.clone())
                .prop_map(move |(inner, index)| format!("{}[{index}]", of(&inner))),
            (inner.clone(), name())
                .prop_map(move |(inner, name)| format!("{}.{name}(a, &b)[0]", of(&inner))),
            (inner, name())
                .prop_map(move |(inner, name)| format!("*{}.{name}().await", of(&inner))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_place_has_its_name(places in proptest::collection::vec((places(), any::<bool>()), 1..4)) {
        let (names, inputs): (Vec<_>, Vec<_>) = places.into_iter().map(|(place, is_deep)| {
            let deep = if is_deep { "deep: " } else { "" };
            let input = format!("{deep}{place}");
            (place, input)
        }).unzip();
        prop_assert_eq!(read(parse(&inputs.join(","))), (names, None));
    }

    #[test]
    fn an_interpolated_place_is_that_place(place in places()) {
        let tokens = parse(&place);
        let group = interpolated(tokens.clone());
        let name = if place.starts_with('*') { format!("({place})") } else { place };
        prop_assert_eq!(read(quote!(#group.field)), (vec![format!("{name}.field")], None));
    }

    #[test]
    fn any_input_gives_an_expression(input in tokens("deep"), is_enabled: bool) {
        let output = track_var(input, is_enabled);
        let mut trees = output.clone().into_iter();
        let is_block = matches!(trees.next(), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace);
        prop_assert!(is_block && trees.next().is_none(), "{}", output);
        prop_assert!(output.to_string().parse::<TokenStream>().is_ok(), "{}", output);
    }

    #[test]
    fn any_index_can_be_spelled(index in tokens("i")) {
        let output = track_var(quote!(x[0 #index]), true).to_string();
        prop_assert!(!output.contains("compile_error"), "{}", output);
    }
}
