use std::ptr;

use super::*;
use crate::{
    picture::{Channel, Picture},
    task_dump::on_linux::{listed::Listed, listing},
};

fn address<T: ?Sized>(value: &T) -> usize {
    ptr::from_ref(value).cast::<u8>().expose_provenance()
}

/// What is saved of these values, as if they were cells with their futures at the start.
fn saved(values: &[(usize, usize)]) -> Saved {
    let picture = Picture::take(&(), listing::run, Channel::Socket, 0).expect("a copy");
    let mut asker = Asker::new(&picture);
    Listed::read(&mut asker).expect("a list");
    let wanted = |(address, bytes): &(usize, usize)| Wanted {
        address: *address,
        bytes: *bytes,
        future: *address,
        may_be_box: false,
    };
    let wanted: Vec<Wanted> = values.iter().map(wanted).collect();
    let saved = save(&mut asker, &wanted).expect("answers");
    assert!(picture.end().is_ok());
    saved
}

/// The bytes at an address, if this many are saved.
fn at(saved: &Saved, address: usize, bytes: usize) -> Option<&[u8]> {
    saved.pieces.iter().find_map(|piece| {
        let start = address.checked_sub(piece.address as usize)?;
        piece.bytes.get(start..start + bytes)
    })
}

fn bytes_of(saved: &Saved) -> usize {
    saved.pieces.iter().map(|piece| piece.bytes.len()).sum()
}

#[test]
fn what_words_lead_to_is_saved_with_what_that_leads_to() {
    let last = Box::new([3_u64; 20]);
    let middle = Box::new([address(&*last), 1]);
    let first = Box::new([0, address(&*middle), 7, usize::MAX - 7]);
    let saved = saved(&[(address(&*first), 32)]);
    assert_eq!(at(&saved, address(&*last), 160).map(|it| it[8]), Some(3));
    assert!(at(&saved, address(&*middle), 16).is_some());
    let is_ordered =
        |two: &[MemoryPiece]| two[0].address + (two[0].bytes.len() as u64) < two[1].address;
    assert!(saved.pieces.windows(2).all(is_ordered), "{:?}", saved.pieces);
}

#[test]
fn a_value_behind_a_circle_of_words_is_saved_once() {
    let mut one = Box::new([0_usize; 64]);
    let two = Box::new([address(&*one); 64]);
    one.fill(address(&*two));
    let saved = saved(&[(address(&*one), 512), (address(&*two), 512)]);
    assert!(at(&saved, address(&*one), 512).is_some() && at(&saved, address(&*two), 512).is_some());
    assert!(bytes_of(&saved) < 8_192, "{:?}", saved.pieces);
}

#[test]
fn what_is_too_much_is_left_out_and_counted() {
    // Each of this many words leads to a block of its own.
    let blocks: Vec<Box<[u8]>> = (0..80).map(|_| vec![1; 16_000].into_boxed_slice()).collect();
    let words: Vec<usize> = blocks.iter().map(|it| address(&**it)).collect();
    let small = Box::new([5_usize; 4]);
    let large = vec![0_u8; MOST_OF_VALUE + 8];
    let saved = saved(&[
        (address(&*words), 8 * words.len()),
        (address(&*small), 32),
        (address(&*large), large.len()),
    ]);
    assert_eq!(saved.left_out, 2, "the one with many blocks, and the one that is large");
    assert!(bytes_of(&saved) <= 2 * MOST_OF_TASK + 32, "{:?}", saved.pieces);
    assert!(at(&saved, address(&*small), 32).is_some());
    assert!(at(&saved, address(&*large), MOST_OF_VALUE).is_some());
}

#[test]
fn a_dump_has_no_more_than_it_may_have() {
    let cells: Vec<Vec<u8>> = (0..300).map(|_| vec![0; 60 << 10]).collect();
    let values: Vec<_> = cells.iter().map(|it| (address(&**it), it.len())).collect();
    let saved = saved(&values);
    assert!(bytes_of(&saved) <= MOST_OF_DUMP);
    let fit = (MOST_OF_DUMP / (60 << 10)) as u64;
    assert_eq!(saved.left_out, 300 - fit);
}

#[test]
fn the_head_of_a_block_tells_its_size_or_nothing() {
    for (head, size) in [(0x111, Some(0x110)), (0x115, Some(0x110)), (0x110, Some(0x110))] {
        assert_eq!(size_in(head), size);
    }
    for head in [0x119, 0x11, 0, usize::MAX] {
        assert_eq!(size_in(head), None);
    }
}
