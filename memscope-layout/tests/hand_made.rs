//! Debug information that compilers seldom write: types that are only declared, types of other
//! units, vtables that the linker discarded.

mod elf;

use elf::elf;
use gimli::{
    DwTag, Encoding, Format, LittleEndian, constants as dw,
    write::{
        Address, AttributeValue, DebugInfoRef, Dwarf, EndianVec, Expression, LineProgram, Sections,
        Unit, UnitEntryId, UnitId,
    },
};
use memscope_layout::{Layouts, Shape, State};

/// The addresses at which the programs are loaded.
const LOADED: std::ops::Range<u64> = 0..0x1000;

/// A program under construction.
struct Made {
    dwarf: Dwarf,
}

/// An entry: its unit and its id.
#[derive(Clone, Copy)]
struct It(UnitId, UnitEntryId);

impl Made {
    fn new() -> Self {
        Self { dwarf: Dwarf::new() }
    }

    /// Adds a unit and returns its root.
    fn unit(&mut self) -> It {
        let encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 4 };
        let id = self.dwarf.units.add(Unit::new(encoding, LineProgram::none()));
        let root = self.dwarf.units.get(id).root();
        let unit = It(id, root);
        self.set(unit, dw::DW_AT_language, AttributeValue::Language(dw::DW_LANG_Rust));
        unit
    }

    fn add(&mut self, parent: It, tag: DwTag, name: &str) -> It {
        let entry = self.dwarf.units.get_mut(parent.0).add(parent.1, tag);
        let it = It(parent.0, entry);
        self.set(it, dw::DW_AT_name, AttributeValue::String(name.into()));
        it
    }

    fn set(&mut self, it: It, name: gimli::DwAt, value: AttributeValue) {
        self.dwarf.units.get_mut(it.0).get_mut(it.1).set(name, value);
    }

    /// Adds a reference from one entry to another, in the form that their units need.
    fn refer(&mut self, from: It, name: gimli::DwAt, to: It) {
        let value = if from.0 == to.0 {
            AttributeValue::UnitRef(to.1)
        } else {
            AttributeValue::DebugInfoRef(DebugInfoRef::Entry(to.0, to.1))
        };
        self.set(from, name, value);
    }

    fn structure(&mut self, parent: It, name: &str, size: u64) -> It {
        let it = self.add(parent, dw::DW_TAG_structure_type, name);
        self.set(it, dw::DW_AT_byte_size, AttributeValue::Udata(size));
        it
    }

    fn declared(&mut self, parent: It, name: &str) -> It {
        let it = self.add(parent, dw::DW_TAG_structure_type, name);
        self.set(it, dw::DW_AT_declaration, AttributeValue::Flag(true));
        it
    }

    fn member(&mut self, parent: It, name: &str, offset: u64, type_: It) {
        let it = self.add(parent, dw::DW_TAG_member, name);
        self.set(it, dw::DW_AT_data_member_location, AttributeValue::Udata(offset));
        self.refer(it, dw::DW_AT_type, type_);
    }

    /// Adds a coroutine that waits once, with one variable.
    fn coroutine(&mut self, parent: It, function: &str, size: u64, local: It) -> It {
        let function = self.add(parent, dw::DW_TAG_namespace, function);
        let it = self.structure(function, "{async_fn_env#0}", size);
        let byte = self.add(
            It(parent.0, self.dwarf.units.get(parent.0).root()),
            dw::DW_TAG_base_type,
            "u8",
        );
        self.set(byte, dw::DW_AT_byte_size, AttributeValue::Udata(1));
        let part = self.add(it, dw::DW_TAG_variant_part, "");
        self.member(part, "__state", size - 1, byte);
        for (value, name) in [(0, "Unresumed"), (1, "Returned"), (2, "Panicked"), (3, "Suspend0")] {
            let variant = self.add(part, dw::DW_TAG_variant, "");
            self.set(variant, dw::DW_AT_discr_value, AttributeValue::Udata(value));
            let state = self.structure(it, name, size);
            if name == "Suspend0" {
                self.member(state, "local", 0, local);
            }
            self.member(variant, name, 0, state);
        }
        it
    }

    fn vtable(&mut self, parent: It, of: It, function: &str, address: u64) {
        let name = format!("<app::{function}::{{async_fn_env#0}} as core::future::future::Future>");
        let type_ = self.structure(parent, &format!("{name}::{{vtable_type}}"), 32);
        self.refer(type_, dw::DW_AT_containing_type, of);
        let it = self.add(parent, dw::DW_TAG_variable, &format!("{name}::{{vtable}}"));
        self.refer(it, dw::DW_AT_type, type_);
        let mut location = Expression::new();
        location.op_addr(Address::Constant(address));
        self.set(it, dw::DW_AT_location, AttributeValue::Exprloc(location));
    }

    fn layouts(mut self) -> Layouts {
        let mut sections = Sections::new(EndianVec::new(LittleEndian));
        self.dwarf.write(&mut sections).unwrap();
        let mut all: Vec<(&str, Vec<u8>)> = Vec::new();
        sections
            .for_each(|id, bytes| {
                all.push((id.name(), bytes.slice().to_vec()));
                Ok::<(), gimli::write::Error>(())
            })
            .unwrap();
        let all: Vec<_> =
            all.iter().filter(|it| !it.1.is_empty()).map(|it| (it.0, 1, &it.1[..])).collect();
        Layouts::from_bytes(&elf(&all, LOADED)).unwrap()
    }
}

/// Returns the type and size of the only variable of the coroutine with this name.
fn local(layouts: &Layouts, function: &str) -> (String, Option<u64>) {
    let path = format!("app::{function}::{{async_fn_env#0}}");
    let coroutine = layouts.coroutines().iter().find(|it| *it.path == *path).unwrap();
    let states: Vec<&State> = coroutine.suspended().collect();
    let [state] = states[..] else { panic!("one state: {states:#?}") };
    let [member] = &state.members[..] else { panic!("one variable: {state:#?}") };
    assert_eq!(&*member.name, "local");
    (member.type_name.to_string(), member.size)
}

#[test]
fn a_type_that_is_only_declared_has_the_size_of_the_one_definition() {
    let mut made = Made::new();
    let (here, there) = (made.unit(), made.unit());
    let app = made.add(here, dw::DW_TAG_namespace, "app");
    let declared = ["Defined", "Twice", "Agreed", "Nowhere"].map(|name| made.declared(app, name));
    for (name, local) in ["defined", "twice", "agreed", "nowhere"].into_iter().zip(declared) {
        made.coroutine(app, name, 900, local);
    }

    let app = made.add(there, dw::DW_TAG_namespace, "app");
    let other = made.add(there, dw::DW_TAG_namespace, "other");
    let defined = made.structure(app, "Defined", 700);
    made.coroutine(app, "there", 900, defined);
    // The same name in another namespace.
    made.structure(other, "Defined", 600);
    made.structure(other, "Nowhere", 600);
    // Two versions of one crate.
    made.structure(app, "Twice", 16);
    made.structure(app, "Twice", 24);
    // Two units describe the same type.
    made.structure(app, "Agreed", 32);
    made.structure(app, "Agreed", 32);

    let layouts = made.layouts();
    assert_eq!(layouts.coroutines().len(), 5);
    assert_eq!(local(&layouts, "defined"), ("app::Defined".to_owned(), Some(700)));
    assert_eq!(local(&layouts, "twice"), ("app::Twice".to_owned(), None), "it may be either");
    assert_eq!(local(&layouts, "agreed"), ("app::Agreed".to_owned(), Some(32)));
    assert_eq!(local(&layouts, "nowhere"), ("app::Nowhere".to_owned(), None));
}

#[test]
fn a_future_that_is_only_declared_leads_to_its_definition() {
    let mut made = Made::new();
    let (here, there) = (made.unit(), made.unit());
    let app = made.add(here, dw::DW_TAG_namespace, "app");
    let inner = made.add(app, dw::DW_TAG_namespace, "inner");
    let inner = made.declared(inner, "{async_fn_env#0}");
    made.coroutine(app, "outer", 900, inner);
    let app = made.add(there, dw::DW_TAG_namespace, "app");
    let page = made.structure(app, "Page", 500);
    made.coroutine(app, "inner", 600, page);

    let layouts = made.layouts();
    let outer = &layouts.coroutines()[0];
    let children = layouts.children(&outer.largest().unwrap().members[0]);
    let [child] = children[..] else { panic!("one: {children:?}") };
    assert_eq!(&*layouts.coroutines()[child.coroutine].path, "app::inner::{async_fn_env#0}");
}

#[test]
fn a_type_of_another_unit_is_found_there() {
    let mut made = Made::new();
    // One unit before, one after, and one without other content, which is read only because of the
    // reference.
    let units = [made.unit(), made.unit(), made.unit(), made.unit()];
    let app = units.map(|it| made.add(it, dw::DW_TAG_namespace, "app"));
    let (before, after) =
        (made.structure(app[0], "Before", 100), made.structure(app[2], "After", 200));
    let plain = made.structure(app[3], "Plain", 300);
    for unit in [app[0], app[2]] {
        let own = made.structure(unit, "Own", 8);
        made.coroutine(unit, if unit.0 == app[0].0 { "first" } else { "third" }, 900, own);
    }
    for (name, local) in [("one", before), ("two", after), ("three", plain)] {
        made.coroutine(app[1], name, 900, local);
    }

    let layouts = made.layouts();
    assert_eq!(layouts.coroutines().len(), 5);
    assert_eq!(local(&layouts, "one"), ("app::Before".to_owned(), Some(100)));
    assert_eq!(local(&layouts, "two"), ("app::After".to_owned(), Some(200)));
    assert_eq!(local(&layouts, "three"), ("app::Plain".to_owned(), Some(300)));
}

#[test]
fn a_vtable_that_the_linker_threw_away_is_none() {
    let mut made = Made::new();
    let unit = made.unit();
    let app = made.add(unit, dw::DW_TAG_namespace, "app");
    let page = made.structure(app, "Page", 500);
    let kept = made.coroutine(app, "kept", 600, page);
    let gone = made.coroutine(app, "gone", 700, page);
    made.vtable(app, kept, "kept", 0x800);
    // Values that linkers leave for a discarded address, and one address behind the end.
    for tombstone in [0, u64::MAX, u64::MAX - 1, LOADED.end] {
        made.vtable(app, gone, "gone", tombstone);
    }

    let layouts = made.layouts();
    let vtables: Vec<_> = layouts.vtables().collect();
    let [(0x800, Some(id))] = vtables[..] else { panic!("one: {vtables:?}") };
    let Shape::Coroutine(index) = layouts.future_type(id).unwrap().shape else { panic!("{id:?}") };
    assert_eq!(&*layouts.coroutines()[index].path, "app::kept::{async_fn_env#0}");
    assert_eq!(layouts.by_vtable(0x800, 600), Some(id));
    assert_eq!(layouts.by_vtable(0, 700), None);
}

#[test]
fn a_vtable_that_two_types_share_is_neithers() {
    let mut made = Made::new();
    let unit = made.unit();
    let app = made.add(unit, dw::DW_TAG_namespace, "app");
    let page = made.structure(app, "Page", 500);
    for name in ["one", "two"] {
        let it = made.coroutine(app, name, 600, page);
        made.vtable(app, it, name, 0x800);
    }
    let layouts = made.layouts();
    assert_eq!(layouts.vtables().collect::<Vec<_>>(), [(0x800, None)]);
    assert_eq!(layouts.by_vtable(0x800, 600), None);
}
