//! Random histories of `Bytes` and `BytesMut`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use crate::{
    ledger::found,
    random::{Checked, check, steps},
};

/// A view of a buffer, growing or frozen.
fn buffers(steps: &[(u8, u8)], capacity: usize) -> Checked {
    let mut growing = vec![BytesMut::with_capacity(capacity)];
    let mut frozen: Vec<Bytes> = Vec::new();
    for &(what, number) in steps {
        let size = usize::from(number);
        let which = size % growing.len().max(1);
        match (what % 16, growing.get_mut(which), frozen.pop()) {
            (0..3, Some(view), _) => view.put_bytes(number, size),
            (3, Some(view), _) => view.reserve(size * 3),
            (4, Some(view), _) => view.advance(size.min(view.len())),
            (5, Some(view), _) => view.truncate(size),
            (6, Some(view), _) => {
                let part = view.split_to(size.min(view.len()));
                growing.push(part);
            }
            (7, Some(view), _) => {
                let part = view.split_off(size.min(view.capacity()));
                growing.push(part);
            }
            (8, Some(_), _) => frozen.push(growing.swap_remove(which).freeze()),
            (9, _, Some(view)) => frozen.extend([view.clone(), view]),
            (10, _, Some(mut view)) => {
                view.advance(size.min(view.len()));
                frozen.push(view);
            }
            (11, _, Some(view)) => frozen.push(view.slice(size.min(view.len())..)),
            (12, _, Some(mut view)) => {
                let part = view.split_off(size.min(view.len()));
                frozen.extend([view, part]);
            }
            (13, _, Some(mut view)) => {
                view.truncate(size);
                frozen.push(view);
            }
            (14, _, Some(view)) => match view.try_into_mut() {
                Ok(view) => growing.push(view),
                Err(view) => frozen.push(view),
            },
            (15, _, _) => {
                let mut list = vec![number; size];
                list.reserve(size * usize::from(number % 2));
                frozen.push(list.into());
            }
            (_, _, last) => frozen.extend(last),
        }
        for view in &growing {
            let (places, found) = found(|blocks| blocks.visit(view));
            prop_assert!(!found.is_partial && (!places.is_empty() || view.capacity() == 0));
        }
        for view in &frozen {
            let (places, found) = found(|blocks| blocks.visit(view));
            prop_assert!(!found.is_partial && (!places.is_empty() || view.is_empty()));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn views_of_buffers(steps in steps(), capacity in 0_usize..3_000) {
        buffers(&steps, capacity)?;
    }
}

#[test]
fn what_is_static_or_empty_has_no_buffer() {
    static FIXED: Bytes = Bytes::from_static(b"fixed");
    for fixed in [FIXED.clone(), Bytes::new(), Bytes::from_static(b"text"), FIXED.slice(1..3)] {
        check(&fixed, 0).expect("nothing");
    }
    check(&FIXED, 0).expect("nothing");
    check(&BytesMut::new(), 0).expect("nothing");
}

#[test]
fn a_buffer_of_an_owner_is_not_found() {
    let (places, found) = found(|blocks| blocks.visit(&Bytes::from_owner(vec![1_u8; 9])));
    assert!(places.is_empty() && found.is_partial);
}
