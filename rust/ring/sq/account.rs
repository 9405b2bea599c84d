// SPDX-License-Identifier: GPL-2.0

//! The account of registered buffers.
//!
//! Without CAP_IPC_LOCK, the maker of a ring is charged for the pages that the ring's buffers pin,
//! as in `io_uring`. The pages count for the RLIMIT_MEMLOCK of the user and the `VmPin` of the
//! process. A compound page that buffers of one ring share is charged once, in full.
//!
//! Locking: the mutex is a leaf.

use super::pinned::Pinned;
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
/// The value owns a reference to the user.
struct User(NonNull<bindings::user_struct>);

// SAFETY: Any task may use and drop a reference to a user.
unsafe impl Send for User {}
// SAFETY: Only the atomic count of the user is accessed.
unsafe impl Sync for User {}

impl User {
    fn current() -> Option<Self> {
        // SAFETY: The helper may be called in any task.
        // INVARIANT: The helper takes the reference that this value owns.
        NonNull::new(unsafe { bindings::miniring_get_current_user() }).map(Self)
    }

    /// Returns the number of pages that the user has locked.
    fn locked(&self) -> &Atomic<isize> {
        // SAFETY: `self` holds the user (type invariants), and all accesses to the count are
        // atomic.
        unsafe { Atomic::from_ptr((&raw mut (*self.0.as_ptr()).locked_vm).cast()) }
    }

    /// Charges `pages` to the user; `ENOMEM` beyond RLIMIT_MEMLOCK.
    fn charge(&self, pages: usize) -> Result {
        // SAFETY: Only reads a limit of the current task.
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
        // SAFETY: `self` owns the reference (type invariants).
        unsafe { bindings::free_uid(self.0.as_ptr()) };
    }
}

type Compounds = RBTree<usize, Compound>;

/// A compound page that several charges share, charged until the last of these charges is dropped.
struct Compound {
    pages: usize,
    charges: usize,
}

/// The account of the ring's maker, to which its buffers are charged.
#[pin_data]
pub(crate) struct Account {
    /// `None` if the maker has CAP_IPC_LOCK.
    user: Option<User>,
    /// `None` for a kernel thread, in a KUnit test.
    mm: Option<ARef<Mm>>,
    /// Keyed by the address of the compound page.
    #[pin]
    compounds: Mutex<Compounds>,
}

impl Account {
    /// Makes the account of the current task.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn of_current() -> Result<Arc<Self>> {
        // SAFETY: `init_user_ns` is never freed.
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

    /// Returns whether both accounts charge the same user and process.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let whose = |account: &Self| {
            (
                account.user.as_ref().map(|user| user.0),
                account.mm.as_ref().map(|mm| mm.as_raw()),
            )
        };
        whose(self) == whose(other)
    }

    /// Adds `pages` to the pinned pages of the process. `pages` may be negative.
    fn add_pinned(&self, pages: isize) {
        if let Some(mm) = &self.mm {
            let mm = mm.as_raw();
            // SAFETY: `self` holds a reference to the `mm_struct`, and all accesses to the number
            // are atomic.
            let pinned: &Atomic<isize> =
                unsafe { Atomic::from_ptr((&raw mut (*mm).__bindgen_anon_1.pinned_vm).cast()) };
            pinned.add(pages, Relaxed);
        }
    }
}

/// Pages charged to an [`Account`].
///
/// Context: dropped in process context; may sleep.
pub(crate) struct Charge {
    account: Arc<Account>,
    /// Number of pages that are not compound.
    pages: usize,
    /// Addresses of compound pages that count this charge.
    compounds: KVVec<usize>,
}

impl Charge {
    /// Charges the pages of a buffer. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM` without memory, or beyond RLIMIT_MEMLOCK.
    pub(super) fn new(account: &Arc<Account>, pages: &[Pinned]) -> Result<Self> {
        let mut charge = Self {
            account: account.clone(),
            pages: 0,
            compounds: KVVec::new(),
        };
        let Some(user) = &account.user else {
            return Ok(charge);
        };
        // Hold the lock until all pages are charged: another charge must not rely on a compound
        // page whose own charge fails.
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

    /// Adds the pages to this charge. Returns the number of pages that are not charged yet.
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

    /// Removes this charge from its compound pages. Returns the number of pages without any charge
    /// left.
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
