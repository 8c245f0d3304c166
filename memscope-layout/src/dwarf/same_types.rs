//! Whether two entries describe the same type: each unit has entries of its own.

use std::collections::HashSet;

use crate::{
    shape::{Field, FutureType, Shape},
    type_id::TypeId,
};

/// Returns `true` if both are one type, as far as futures are concerned: of one name, one size and
/// the same state machines. Functions of two crates, or of two blocks, may have one path.
pub(crate) fn is_same(types: &[FutureType], first: TypeId, second: TypeId) -> bool {
    let (mut seen, mut left) = (HashSet::new(), vec![(first, second)]);
    while let Some(pair) = left.pop() {
        // A type may lead back to itself.
        if pair.0 == pair.1 || !seen.insert(pair) {
            continue;
        }
        let of = |id: TypeId| types.get(id.0 as usize);
        let (Some(first), Some(second)) = (of(pair.0), of(pair.1)) else { return false };
        if (&first.name, first.size) != (&second.name, second.size)
            || !parts(&first.shape, &second.shape, &mut left)
        {
            return false;
        }
    }
    true
}

/// Compares two types but for the types of their parts, which are added to `left`.
fn parts(first: &Shape, second: &Shape, left: &mut Vec<(TypeId, TypeId)>) -> bool {
    let mut fields = |first: &[Field], second: &[Field]| {
        first.len() == second.len()
            && first.iter().zip(second).all(|(first, second)| {
                left.push((first.future_type, second.future_type));
                (&first.name, first.offset) == (&second.name, second.offset)
            })
    };
    match (first, second) {
        (Shape::Coroutine(first), Shape::Coroutine(second)) => first == second,
        (Shape::Struct(first), Shape::Struct(second)) => fields(first, second),
        (Shape::Enum { variants: first, .. }, Shape::Enum { variants: second, .. }) => {
            first.len() == second.len()
                && first.iter().zip(second).all(|(first, second)| {
                    (&first.name, first.value) == (&second.name, second.value)
                        && fields(&first.fields, &second.fields)
                })
        }
        (Shape::Pointer { to: first, .. }, Shape::Pointer { to: second, .. })
        | (Shape::List { element: first, .. }, Shape::List { element: second, .. }) => {
            left.push((*first, *second));
            true
        }
        (Shape::TraitObject { .. }, Shape::TraitObject { .. }) | (Shape::Leaf, Shape::Leaf) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_type(name: &str, shape: Shape) -> FutureType {
        FutureType::of_tests(name, shape)
    }

    fn wrapper(to: u32, offset: u64) -> FutureType {
        let field =
            Field { name: "inner".into(), offset, future_type: TypeId(to), is_certain: true };
        future_type("app::Wrapper", Shape::Struct(vec![field]))
    }

    #[test]
    fn types_of_one_name_are_the_same_if_their_state_machines_are() {
        let types = [
            future_type("app::run", Shape::Coroutine(0)),
            future_type("app::run", Shape::Coroutine(0)),
            future_type("app::run", Shape::Coroutine(1)),
            wrapper(0, 0),
            wrapper(1, 0),
            wrapper(2, 0),
            wrapper(0, 8),
        ];
        let same = |first, second| is_same(&types, TypeId(first), TypeId(second));
        assert!(same(0, 1) && same(3, 4), "two units describe it");
        assert!(!same(0, 2) && !same(3, 5), "two blocks have such a function");
        assert!(!same(3, 6) && !same(0, 3) && !same(0, 9));
    }

    #[test]
    fn types_that_lead_back_to_themselves_are_compared_once() {
        let types = [wrapper(1, 0), wrapper(0, 0)];
        assert!(is_same(&types, TypeId(0), TypeId(1)));
    }
}
