// SPDX-License-Identifier: GPL-2.0

//! What registered buffers count against.
//!
//! As in `io_uring`: a ring made without CAP_IPC_LOCK charges the pages that its buffers pin to its
//! maker, to the user's RLIMIT_MEMLOCK and to the process's `VmPin`. A compound page that buffers
//! of one ring share is charged once, in full.
//!
//! The mutex is a leaf.

use super::buffers::Pinned;
use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    mm::Mm,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    rbtree::RBTree,
    sync::{
        aref::ARef,
        atomic::{
            ordering::{
                Full,
                Relaxed, //
            },
            Atomic, //
        },
        Arc,
        Mutex, //
    }, //
};

/// A user whose locked memory is counted.
///
/// # Invariants
///
/// Holds a reference.
struct User(NonNull<bindings::user_struct>);

// SAFETY: A user is referenced from any task.
unsafe impl Send for User {}
// SAFETY: Only its atomic count is accessed.
unsafe impl Sync for User {}

impl User {
    fn current() -> Option<Self> {
        // SAFETY: May be called in any task.
        // INVARIANT: The helper takes a reference.
        NonNull::new(unsafe { bindings::miniring_get_current_user() }).map(Self)
    }

    /// Pages that are locked on the user's account.
    fn locked(&self) -> &Atomic<isize> {
        // SAFETY: By the type invariants the user is alive; the count is atomic everywhere.
        unsafe { Atomic::from_ptr((&raw mut (*self.0.as_ptr()).locked_vm).cast()) }
    }

    /// `ENOMEM` if that is more than RLIMIT_MEMLOCK.
    fn charge(&self, pages: usize) -> Result {
        // SAFETY: Reads a limit of the current task's.
        let limit = unsafe { bindings::miniring_memlock_limit() } / PAGE_SIZE;
        let limit = isize::try_from(limit).unwrap_or(isize::MAX);
        let pages = isize::try_from(pages).map_err(|_| ENOMEM)?;
        let mut now = self.locked().load(Relaxed);
        loop {
            let wanted = now.checked_add(pages).filter(|wanted| *wanted <= limit);
            match self.locked().cmpxchg(now, wanted.ok_or(ENOMEM)?, Full) {
                Ok(_) => return Ok(()),
                Err(other) => now = other,
            }
        }
    }

    fn uncharge(&self, pages: usize) {
        self.locked().fetch_sub(pages as isize, Relaxed);
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::free_uid(self.0.as_ptr()) };
    }
}

type Compounds = RBTree<usize, Compound>;

/// A compound page that charges share: it is charged while one of them is left.
struct Compound {
    pages: usize,
    charges: usize,
}

/// Whom a ring's buffers are charged to: who made it.
#[pin_data]
pub(crate) struct Account {
    /// None if the maker may lock as much as it likes.
    user: Option<User>,
    /// None for a kernel thread, which a test is.
    mm: Option<ARef<Mm>>,
    /// By address.
    #[pin]
    compounds: Mutex<Compounds>,
}

impl Account {
    /// The current task's.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn of_current() -> Result<Arc<Self>> {
        // SAFETY: The first user namespace never goes.
        let exempt = unsafe {
            bindings::ns_capable_noaudit(
                &raw mut bindings::init_user_ns,
                bindings::CAP_IPC_LOCK as c_int,
            )
        };
        let user = if exempt { None } else { User::current() };
        let mm = kernel::current!().mm().map(|mm| {
            let mm: &Mm = mm;
            ARef::from(mm)
        });
        Arc::pin_init(
            pin_init!(Self {
                user,
                mm,
                compounds <- new_mutex!(RBTree::new(), "miniring::Account"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Whether a charge to this account might as well be one to `other`.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let whose = |account: &Self| {
            (
                account.user.as_ref().map(|user| user.0),
                account.mm.as_ref().map(|mm| mm.as_raw()),
            )
        };
        whose(self) == whose(other)
    }

    /// Says that buffers of the process pin this many pages more, or less.
    fn add_pinned(&self, pages: isize) {
        if let Some(mm) = &self.mm {
            let mm = mm.as_raw();
            // SAFETY: There is a reference to the structure; the number is atomic everywhere.
            let pinned: &Atomic<isize> =
                unsafe { Atomic::from_ptr((&raw mut (*mm).__bindgen_anon_1.pinned_vm).cast()) };
            pinned.add(pages, Relaxed);
        }
    }
}

/// Pages charged to an [`Account`]. Dropped in process context; that may sleep.
pub(crate) struct Charge {
    account: Arc<Account>,
    /// Pages that are charged by themselves.
    pages: usize,
    /// Addresses of compound pages, each of which has this among its charges.
    compounds: KVVec<usize>,
}

impl Charge {
    /// Charges the pages of a buffer. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if that is more than RLIMIT_MEMLOCK, or if there is no memory.
    pub(crate) fn new(account: &Arc<Account>, pages: &[Pinned]) -> Result<Self> {
        let mut charge = Self {
            account: account.clone(),
            pages: 0,
            compounds: KVVec::new(),
        };
        let Some(user) = &account.user else {
            return Ok(charge);
        };
        // Held until all is charged, so that nobody counts on a compound page that is not.
        let mut shared = account.compounds.lock();
        let charged = charge.count(&mut shared, pages).and_then(|pages| {
            user.charge(pages)?;
            account.add_pinned(pages as isize);
            Ok(())
        });
        if charged.is_err() {
            charge.uncount(&mut shared);
            charge.pages = 0;
        }
        drop(shared);
        charged.map(|()| charge)
    }

    /// Adds the pages to this; returns how many are not charged yet.
    fn count(&mut self, shared: &mut Compounds, pages: &[Pinned]) -> Result<usize> {
        let mut new = 0usize;
        for page in pages {
            let (head, nr) = page.compound();
            if nr == 1 {
                self.pages += 1;
                continue;
            }
            if self.compounds.last() == Some(&head) {
                continue;
            }
            self.compounds.reserve(1, GFP_KERNEL_ACCOUNT)?;
            match shared.get_mut(&head) {
                Some(compound) => compound.charges += 1,
                None => {
                    let compound = Compound {
                        pages: nr,
                        charges: 1,
                    };
                    shared.try_create_and_insert(head, compound, GFP_KERNEL_ACCOUNT)?;
                    new += nr;
                }
            }
            self.compounds.push(head, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(new + self.pages)
    }

    /// Takes this out of the charges of its compound pages; returns how many pages have none left.
    fn uncount(&mut self, shared: &mut Compounds) -> usize {
        let mut pages = 0;
        while let Some(head) = self.compounds.pop() {
            let Some(compound) = shared.get_mut(&head) else {
                continue;
            };
            compound.charges -= 1;
            if compound.charges == 0 {
                pages += compound.pages;
                shared.remove(&head);
            }
        }
        pages
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let account = self.account.clone();
        let Some(user) = &account.user else {
            return;
        };
        let mut pages = self.pages;
        if !self.compounds.is_empty() {
            pages += self.uncount(&mut account.compounds.lock());
        }
        user.uncharge(pages);
        account.add_pinned(-(pages as isize));
    }
}
