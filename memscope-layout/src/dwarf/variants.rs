//! Reads types with variants: enums, and the states of coroutines.

use gimli::{AttributeValue, constants as dw};

use super::{
    types::Types,
    units::{Entry, EntryRef},
};
use crate::{
    coroutine::{Discriminant, Member},
    source_location::Place,
};

/// A member of a struct, as its entry describes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemberEntry<'d> {
    pub(crate) name: &'d str,
    pub(crate) offset: u64,
    pub(crate) size: Option<u64>,
    pub(crate) align: Option<u64>,
    pub(crate) type_: Option<EntryRef>,
}

/// A variant: a struct of its own, and a discriminant value.
#[derive(Debug)]
pub(crate) struct VariantEntry<'d> {
    pub(crate) name: &'d str,
    pub(crate) value: Option<u64>,
    pub(crate) place: Option<Place>,
    pub(crate) members: Vec<MemberEntry<'d>>,
}

/// All variants of a type.
#[derive(Debug, Default)]
pub(crate) struct VariantPart<'d> {
    pub(crate) discriminant: Option<Discriminant>,
    pub(crate) variants: Vec<VariantEntry<'d>>,
}

impl<'d> Types<'_, 'd> {
    /// Returns the direct members of a struct.
    pub(crate) fn members(&self, at: EntryRef) -> Vec<MemberEntry<'d>> {
        let mut members = Vec::new();
        self.units.each_child(at, |at, child| {
            if child.tag() == dw::DW_TAG_member && self.units.limit.keep(size_of::<Member>()) {
                members.push(self.member(at, child));
            }
        });
        members
    }

    fn member(&self, at: EntryRef, entry: &Entry<'d>) -> MemberEntry<'d> {
        let number = |name| entry.attr_value(name).and_then(|it| it.udata_value());
        let type_ = self.referred(at, entry, dw::DW_AT_type);
        let align = number(dw::DW_AT_alignment);
        let is_pointer = type_
            .and_then(|it| self.units.entry(it))
            .filter(|it| it.tag() == dw::DW_TAG_pointer_type);
        let size = match is_pointer {
            // A function's type has no bytes, and its entry looks like that of a function pointer:
            // neither contains a size. The alignment tells them apart.
            Some(pointer) if !pointer.has_attr(dw::DW_AT_byte_size) => {
                let full = self.units.pointer_size(at.unit);
                match align {
                    Some(1) => Some(0),
                    None if self.units.name(at, &pointer).is_some_and(is_function) => None,
                    _ => Some(full),
                }
            }
            _ => type_.and_then(|it| self.size(it)),
        };
        MemberEntry {
            // The discriminant of an enum has no name.
            name: self.units.name(at, entry).unwrap_or(""),
            offset: number(dw::DW_AT_data_member_location).unwrap_or(0),
            size,
            align,
            type_,
        }
    }

    /// Returns the variants of a type; `None` if it has none, or if a discriminant value cannot be
    /// read.
    pub(crate) fn variants(&self, at: EntryRef) -> Option<VariantPart<'d>> {
        let mut found = None;
        self.units.each_child(at, |at, child| {
            if child.tag() == dw::DW_TAG_variant_part {
                found = found.or(Some(at));
            }
        });
        let mut part = VariantPart::default();
        let mut entries = Vec::new();
        self.units.each_child(found?, |at, child| match child.tag() {
            dw::DW_TAG_member => {
                let member = self.member(at, child);
                let size = member.size.filter(|it| matches!(it, 1 | 2 | 4 | 8));
                part.discriminant = size.map(|size| Discriminant { offset: member.offset, size });
            }
            dw::DW_TAG_variant => entries.push((at, child.attr_value(dw::DW_AT_discr_value))),
            _ => {}
        });
        for (at, value) in entries {
            let value = match (value, part.discriminant) {
                (None, _) => None,
                (Some(value), Some(discriminant)) => Some(unsigned(&value, discriminant.size)?),
                (Some(_), None) => return None,
            };
            self.units.each_child(at, |at, child| {
                if child.tag() != dw::DW_TAG_member {
                    return;
                }
                let type_ = self.referred(at, child, dw::DW_AT_type);
                let entry = type_.and_then(|it| Some((it, self.units.entry(it)?)));
                if let Some((type_, entry)) = entry
                    && let Some(name) = self.units.name(type_, &entry)
                {
                    let place = self.units.place(at, child);
                    let members = self.members(type_);
                    part.variants.push(VariantEntry { name, value, place, members });
                }
            });
        }
        Some(part)
    }
}

/// Returns the value of a discriminant as unsigned, whether or not its type is signed.
fn unsigned(value: &AttributeValue<impl gimli::Reader>, size: u64) -> Option<u64> {
    let mask = u64::MAX >> (64 - 8 * size.clamp(1, 8));
    value.udata_value().or_else(|| Some(value.sdata_value()?.cast_unsigned())).map(|it| it & mask)
}

/// Returns `true` for `fn(…)`, `unsafe fn(…)` and `extern "C" fn(…)`.
pub(crate) fn is_function(name: &str) -> bool {
    name.split('(').next().is_some_and(|it| it == "fn" || it.ends_with(" fn"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_a_sign_are_cut_to_the_size_of_the_discriminant() {
        type Value = AttributeValue<gimli::EndianSlice<'static, gimli::LittleEndian>>;
        assert_eq!(unsigned(&Value::Sdata(-1), 1), Some(255));
        assert_eq!(unsigned(&Value::Data1(3), 1), Some(3));
        assert_eq!(unsigned(&Value::Sdata(-1), 8), Some(u64::MAX));
        assert_eq!(unsigned(&Value::Data8(u64::MAX), 8), Some(u64::MAX));
    }

    #[test]
    fn a_reference_to_a_function_in_a_generic_is_no_function() {
        assert!(is_function("fn(u8) -> u8"));
        assert!(is_function("unsafe extern \"C\" fn()"));
        assert!(!is_function("&mut core::option::Option<fn(u8)>"));
    }
}
