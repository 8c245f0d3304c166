//! Follows types to the futures in them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use gimli::constants as dw;

use crate::{
    future_type::{Field, FutureType, PointerKind, Shape, TypeId, Variant},
    types::Types,
    units::At,
    variants::{MemberEntry, is_function},
};

/// How many types may be in one another.
const MOST_DEPTH: u32 = 32;

/// What is known of a type.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// It leads to a future.
    Leads(TypeId),
    /// It does not, or is being looked at.
    Ends,
}

/// The types found so far.
#[derive(Debug)]
pub(crate) struct FutureTypes<'t, 'u, 'd> {
    types: &'t Types<'u, 'd>,
    /// Where coroutines are, and which.
    coroutines: HashMap<At, usize>,
    /// The paths of the closures that `tokio::select!` polls.
    selects: HashSet<Arc<str>>,
    known: HashMap<At, Known>,
    leaves: HashMap<(Arc<str>, Option<u64>), TypeId>,
    all: Vec<FutureType>,
}

impl<'t, 'u, 'd> FutureTypes<'t, 'u, 'd> {
    pub(crate) fn new(
        types: &'t Types<'u, 'd>,
        coroutines: HashMap<At, usize>,
        selects: HashSet<Arc<str>>,
    ) -> Self {
        let (known, leaves) = (HashMap::new(), HashMap::new());
        Self { types, coroutines, selects, known, leaves, all: Vec::new() }
    }

    pub(crate) fn all(&self) -> &[FutureType] {
        &self.all
    }

    pub(crate) fn into_all(self) -> Vec<FutureType> {
        self.all
    }

    /// The type, if it leads to a future, or else if it is to have a name all the same.
    pub(crate) fn find(&mut self, at: At, is_wanted: bool) -> Option<TypeId> {
        let found = self.look(at, 0);
        if found.is_some() || !is_wanted {
            return found;
        }
        let key = (self.types.name(at), self.types.size(at));
        if let Some(known) = self.leaves.get(&key) {
            return Some(*known);
        }
        let id = self.add(at, Shape::Leaf)?;
        self.leaves.insert(key, id);
        Some(id)
    }

    fn add(&mut self, at: At, shape: Shape) -> Option<TypeId> {
        if !self.types.units.budget.keep(size_of::<FutureType>()) {
            return None;
        }
        let id = TypeId(u32::try_from(self.all.len()).ok()?);
        let (name, size) = (self.types.name(at), self.types.size(at));
        let is_plain_besides = match &shape {
            Shape::Struct(_) | Shape::Enum { .. } => self.is_plain_besides(at),
            _ => false,
        };
        let is_select = self.selects.contains(&name);
        self.all.push(FutureType { name, size, shape, is_plain_besides, is_select });
        Some(id)
    }

    fn look(&mut self, at: At, depth: u32) -> Option<TypeId> {
        match self.known.get(&at) {
            Some(Known::Leads(id)) => return Some(*id),
            Some(Known::Ends) => return None,
            None if depth > MOST_DEPTH => return None,
            None => {}
        }
        self.known.insert(at, Known::Ends);
        let shape = self.shape(at, depth)?;
        let id = self.add(at, shape)?;
        self.known.insert(at, Known::Leads(id));
        Some(id)
    }

    fn shape(&mut self, at: At, depth: u32) -> Option<Shape> {
        if let Some(&coroutine) = self.coroutines.get(&at) {
            return Some(Shape::Coroutine(coroutine));
        }
        let entry = self.types.units.entry(at)?;
        match entry.tag() {
            dw::DW_TAG_pointer_type => {
                let kind = pointer(self.types.units.name(at, &entry)?)?;
                let to = self.types.referred(at, &entry, dw::DW_AT_type)?;
                // PERF: elsewhere any type may be; only those are followed whose name has room for a future.
                let to = names_future(&self.types.name(to)).then(|| self.look(to, depth + 1))??;
                Some(Shape::Pointer { to, kind })
            }
            dw::DW_TAG_structure_type => {
                let name = self.types.name(at);
                if let Some(kind) = trait_object(&name) {
                    return self.trait_object(at, kind);
                }
                if let Some(part) = self.types.variants(at) {
                    let mut leads = false;
                    let mut variants = Vec::with_capacity(part.variants.len());
                    for variant in &part.variants {
                        let fields = self.fields(&variant.members, true, depth);
                        leads |= !fields.is_empty();
                        let (name, value) = (variant.name.into(), variant.value);
                        variants.push(Variant { name, value, fields });
                    }
                    return leads
                        .then_some(Shape::Enum { discriminant: part.discriminant, variants });
                }
                let fields = self.fields(&self.types.members(at), is_certain(&name), depth);
                (!fields.is_empty()).then_some(Shape::Struct(fields))
            }
            _ => None,
        }
    }

    fn fields(&mut self, members: &[MemberEntry<'d>], is_certain: bool, depth: u32) -> Vec<Field> {
        let mut fields = Vec::new();
        for member in members {
            if let Some(future_type) = member.type_.and_then(|it| self.look(it, depth + 1)) {
                let (name, offset) = (member.name.into(), member.offset);
                fields.push(Field { name, offset, future_type, is_certain });
            }
        }
        fields
    }

    /// Whether the members of a type that lead to no future are plain. All of the type's own were
    /// looked at before.
    fn is_plain_besides(&self, at: At) -> bool {
        let leads = |it| matches!(self.known.get(&it), Some(Known::Leads(_)));
        let is_plain =
            |it: &MemberEntry<'d>| it.type_.is_some_and(|it| leads(it) || self.is_plain(it, 0));
        match self.types.variants(at) {
            Some(part) => part.variants.iter().flat_map(|it| &it.members).all(is_plain),
            None => self.types.members(at).iter().all(is_plain),
        }
    }

    /// Whether a value of a type is numbers, functions or text of its own, and nothing else.
    fn is_plain(&self, at: At, depth: u32) -> bool {
        let Some(entry) = self.types.units.entry(at).filter(|_| depth < MOST_DEPTH) else {
            return false;
        };
        if entry.has_attr(dw::DW_AT_declaration) {
            return false;
        }
        let is_plain = |it: Option<At>| it.is_some_and(|it| self.is_plain(it, depth + 1));
        match entry.tag() {
            dw::DW_TAG_base_type | dw::DW_TAG_enumeration_type => true,
            // A function, which may have the size of nothing here.
            dw::DW_TAG_pointer_type => self.types.units.name(at, &entry).is_some_and(is_function),
            dw::DW_TAG_array_type => is_plain(self.types.referred(at, &entry, dw::DW_AT_type)),
            dw::DW_TAG_structure_type => {
                let name = self.types.name(at);
                if let Some(plain) = plain_by_name(&name) {
                    return plain;
                }
                match self.types.variants(at) {
                    Some(part) => {
                        part.variants.iter().flat_map(|it| &it.members).all(|it| is_plain(it.type_))
                    }
                    None => self.types.members(at).iter().all(|it| is_plain(it.type_)),
                }
            }
            _ => false,
        }
    }

    fn trait_object(&self, at: At, kind: PointerKind) -> Option<Shape> {
        let members = self.types.members(at);
        let offset = |name| members.iter().find(|it| it.name == name).map(|it| it.offset);
        let (data_offset, vtable_offset) = (offset("pointer")?, offset("vtable")?);
        Some(Shape::TraitObject { data_offset, vtable_offset, kind })
    }
}

/// The pointers that have what they point to for themselves.
fn pointer(name: &str) -> Option<PointerKind> {
    if name.starts_with("alloc::boxed::Box<") {
        Some(PointerKind::Box)
    } else {
        name.starts_with("&mut ").then_some(PointerKind::Mut)
    }
}

/// The same, to a `dyn Future`.
fn trait_object(name: &str) -> Option<PointerKind> {
    let kind = pointer(name)?;
    let inner = match kind {
        PointerKind::Box => name.strip_prefix("alloc::boxed::Box<")?,
        PointerKind::Mut => name.strip_prefix("&mut ")?,
    };
    let rest = inner.trim_start_matches('(').strip_prefix("dyn core::future::future::Future")?;
    // `FutureExt` is another trait.
    (!rest.starts_with(|it: char| it.is_alphanumeric() || it == '_' || it == ':')).then_some(kind)
}

/// Whether a type of this name may have a future in it.
fn names_future(name: &str) -> bool {
    ["{async_", "{gen_", "{coroutine_", "{closure_env#", "dyn core::future::future::Future"]
        .iter()
        .any(|it| name.contains(it))
}

/// Whether structs of this name are plain, for those of which the members do not tell: text is
/// behind a pointer, and two marks have no members at all.
fn plain_by_name(name: &str) -> Option<bool> {
    match name {
        "&str" | "alloc::string::String" => Some(true),
        "core::marker::PhantomPinned" => Some(false),
        _ if name.starts_with("core::marker::PhantomData<") => Some(true),
        _ if name.starts_with("core::cell::UnsafeCell<") => Some(false),
        _ => None,
    }
}

/// Whether a value of a struct of this name has values in all its fields, and for itself.
fn is_certain(name: &str) -> bool {
    !name.starts_with("core::mem::manually_drop::ManuallyDrop<")
        && !name.starts_with("core::cell::UnsafeCell<")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pointers_to_futures_are_trait_objects_of_futures() {
        let of = trait_object;
        assert_eq!(
            of(
                "alloc::boxed::Box<dyn core::future::future::Future<Output=usize>, alloc::alloc::Global>"
            ),
            Some(PointerKind::Box)
        );
        assert_eq!(
            of(
                "alloc::boxed::Box<(dyn core::future::future::Future<Output=()> + core::marker::Send), alloc::alloc::Global>"
            ),
            Some(PointerKind::Box)
        );
        assert_eq!(of("&mut dyn core::future::future::Future<Output=()>"), Some(PointerKind::Mut));
        assert_eq!(of("&dyn core::future::future::Future<Output=()>"), None, "shared");
        assert_eq!(of("alloc::boxed::Box<dyn core::fmt::Debug, alloc::alloc::Global>"), None);
    }
}
