//! `Bytes` and `BytesMut` of the crate `bytes`.

use bytes::{Bytes, BytesMut};

use crate::variables::{
    std_layout,
    trackable::{Blocks, Contents, Trackable},
};

macro_rules! buffers {
    ($($type:ident, $find:path;)*) => {$(
        /// Adds the buffer, then the header through which several handles share it.
        impl Trackable for $type {
            fn visit(&self, blocks: &mut Blocks<'_>) {
                let (buffer, header) = $find(self);
                // SAFETY: the handle keeps the block that `$find` finds, and is borrowed.
                unsafe { blocks.own(buffer) };
                // SAFETY: as above.
                unsafe { blocks.own(header) };
            }
        }

        impl Contents for $type {
            fn visit_contents(&self, blocks: &mut Blocks<'_>) {
                self.visit(blocks);
            }
        }
    )*};
}

buffers! {
    Bytes, std_layout::bytes::bytes;
    BytesMut, std_layout::bytes::bytes_mut;
}
