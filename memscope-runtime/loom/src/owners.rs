//! Two owners, in place of those that an owner word leads to.

use super::{account::Account, stacks::Sample};

/// The number of an owner; 0: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(pub(super) u64);

#[expect(dead_code, reason = "the models have accounts alone")]
pub(crate) enum OwnerKind {
    Account(&'static Account),
    Cell(&'static Account),
    Named(Never),
    Sampled(&'static Sample),
    Memscope,
    Unknown,
}

/// Variables have names; here there are none.
pub(crate) enum Never {}

impl Never {
    pub(crate) fn account(&self) -> Option<&'static Account> {
        match *self {}
    }
}

loom::lazy_static! {
    static ref ACCOUNTS: [Account; 2] = {
        let accounts = [Account::new(), Account::new()];
        accounts[0].open(1, 0, 10);
        accounts[1].open(2, 0, 20);
        accounts
    };
}

impl Owner {
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn sampled(_: &'static Sample) -> Self {
        Self(3)
    }

    pub(crate) fn read(self) -> OwnerKind {
        match self.0 {
            1 => OwnerKind::Account(&ACCOUNTS[0]),
            2 => OwnerKind::Account(&ACCOUNTS[1]),
            _ => OwnerKind::Unknown,
        }
    }
}
