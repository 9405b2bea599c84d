// SPDX-License-Identifier: GPL-2.0

//! The jump entries of a key: the places in the code that branch on it.
//!
//! A key has its entries in a row in one table, or a list of such rows if modules other than its
//! own use it. How the nodes of that list look is private to `kernel/jump_label.c`; ours are
//! compared with a list that must have this module in it before any other is believed.
//!
//! All of this may only be looked at under the jump label mutex, which [`JumpLabels`] stands for.

use super::key::{
    Key,
    Users, //
};
use crate::{
    bindings as helpers,
    kallsyms::{
        read_nofault,
        FromBytes,
        Missing,
        Symbols, //
    }, //
};
use kernel::{
    alloc::AllocError,
    bindings,
    prelude::*,
    types::NotThreadSafe, //
};

/// The kernel's functions for jump labels that are not exported.
///
/// # Invariants
///
/// The static calls of `miniring_jump_label_lock()`, `_unlock()`, `miniring_kernel_text_address()`
/// and `miniring___module_address()` go to these functions; `start` and `stop` delimit the kernel's
/// own jump entries.
pub(super) struct JumpTable {
    start: usize,
    stop: usize,
    linked: bool,
}

/// CPUs neither come nor go.
pub(super) struct Cpus(NotThreadSafe);

impl Cpus {
    /// Waits until none does.
    pub(super) fn lock() -> Self {
        // SAFETY: May sleep.
        unsafe { bindings::cpus_read_lock() };
        Self(NotThreadSafe)
    }
}

impl Drop for Cpus {
    fn drop(&mut self) {
        // SAFETY: Taken in `lock()` by this thread.
        unsafe { bindings::cpus_read_unlock() };
    }
}

/// The jump label mutex, held, and CPUs neither coming nor going.
pub(super) struct JumpLabels<'a> {
    table: &'a JumpTable,
    /// Released after the mutex.
    _cpus: Cpus,
}

impl Drop for JumpLabels<'_> {
    fn drop(&mut self) {
        // SAFETY: Taken in `lock()` by this thread; the call is set by the invariant of `table`.
        unsafe { helpers::miniring_jump_label_unlock() };
    }
}

/// One place in the code, and what it has to become.
pub(super) struct Patch {
    /// The place.
    pub(super) entry: *mut bindings::jump_entry,
    /// The address of its code.
    pub(super) code: usize,
    /// Which of the keys under way it depends on.
    pub(super) way: u32,
    /// Whether it has to be a jump, not a NOP.
    pub(super) jump: bool,
}

/// A node of the list of users of a key: the kernel's `struct static_key_mod`.
#[repr(C)]
#[derive(Clone, Copy)]
struct User {
    next: *const User,
    entries: *mut bindings::jump_entry,
    module: *const bindings::module,
}

// SAFETY: Pointers can have any value.
unsafe impl FromBytes for User {}

/// A row of entries in one table.
struct Row {
    first: *mut bindings::jump_entry,
    stop: usize,
    /// Whether code that is only there during initialisation is still there.
    init: bool,
}

impl JumpTable {
    /// Looks up the functions and the table.
    pub(super) fn find(symbols: &Symbols) -> Result<Self, Missing> {
        let lock = symbols.address(c"jump_label_lock")?;
        let unlock = symbols.address(c"jump_label_unlock")?;
        let text = symbols.address(c"kernel_text_address")?;
        let module = symbols.address(c"__module_address")?;
        let start = symbols.address(c"__start___jump_table")?;
        let stop = symbols.address(c"__stop___jump_table")?;
        // SAFETY: These are the addresses of the functions.
        unsafe {
            helpers::miniring_set_jump_label_lock(lock.as_ptr());
            helpers::miniring_set_jump_label_unlock(unlock.as_ptr());
            helpers::miniring_set_kernel_text_address(text.as_ptr());
            helpers::miniring_set___module_address(module.as_ptr());
        }
        // INVARIANT: Set just now.
        let mut table = Self {
            start: start.as_ptr().expose_provenance(),
            stop: stop.as_ptr().expose_provenance(),
            linked: false,
        };
        let linked = table.lock().list_is_familiar();
        table.linked = linked;
        if !table.linked {
            pr_warn!("keys that several modules use are changed one at a time: unknown layout\n");
        }
        Ok(table)
    }

    /// Takes the locks under which entries do not change.
    pub(super) fn lock(&self) -> JumpLabels<'_> {
        let cpus = Cpus::lock();
        // SAFETY: May sleep; the call is set by the invariant.
        unsafe { helpers::miniring_jump_label_lock() };
        JumpLabels {
            table: self,
            _cpus: cpus,
        }
    }
}

impl JumpLabels<'_> {
    /// Appends to `patches` what has to be patched when `key`, the one with number `way`, becomes
    /// `enable`, and says how many places that is. None if they cannot be found: other modules use
    /// the key, and their list looks unfamiliar.
    pub(super) fn collect(
        &self,
        key: Key,
        enable: bool,
        way: u32,
        patches: &mut KVVec<Patch>,
    ) -> Result<Option<usize>, AllocError> {
        let before = patches.len();
        match key.users() {
            Users::Sealed => {}
            Users::Entries(first) => {
                self.collect_row(self.own_row(key, first), key, enable, way, patches)?;
            }
            Users::Linked(_) if !self.table.linked => return Ok(None),
            Users::Linked(list) => {
                let mut next = list.cast::<User>();
                while !next.is_null() {
                    // SAFETY: The layout was found to be right, and the mutex keeps the list.
                    let user = unsafe { next.read() };
                    // SAFETY: As above: it is the user's module, and that is still there.
                    let row = unsafe { self.module_row(user.module, user.entries) };
                    self.collect_row(row, key, enable, way, patches)?;
                    next = user.next;
                }
            }
        }
        Ok(Some(patches.len() - before))
    }

    /// The row of a key that only the kernel or only its own module uses.
    fn own_row(&self, key: Key, first: *mut bindings::jump_entry) -> Row {
        let _rcu = kernel::sync::rcu::read_lock();
        // SAFETY: The call is set by the invariant of the table. The module found does not go away
        // meanwhile, nor before the apply is over, which its going waits for.
        unsafe {
            let module = helpers::miniring___module_address(key.address() as c_ulong);
            self.module_row(module.cast(), first)
        }
    }

    /// The row that starts at `first` in the table of `module`, or in the kernel's own.
    ///
    /// # Safety
    ///
    /// `module` is null or valid.
    unsafe fn module_row(
        &self,
        module: *const bindings::module,
        first: *mut bindings::jump_entry,
    ) -> Row {
        if module.is_null() {
            return Row {
                first,
                stop: self.table.stop,
                // SAFETY: It only reads a variable.
                init: !unsafe { helpers::miniring_system_running() },
            };
        }
        // SAFETY: By the requirement. A module that becomes live meanwhile keeps its code of
        // initialisation until that was announced, for which the kernel takes the mutex, too.
        let (entries, len, state) = unsafe {
            (
                (*module).jump_entries,
                (*module).num_jump_entries as usize,
                (&raw const (*module).state).read_volatile(),
            )
        };
        Row {
            first,
            stop: entries.wrapping_add(len).addr(),
            init: state == bindings::module_state_MODULE_STATE_COMING,
        }
    }

    fn collect_row(
        &self,
        row: Row,
        key: Key,
        enable: bool,
        way: u32,
        patches: &mut KVVec<Patch>,
    ) -> Result<(), AllocError> {
        let mut entry = row.first;
        while !entry.is_null() && entry.addr() < row.stop {
            // SAFETY: `entry` is within a jump table, which the mutex keeps; the call is set by the
            // invariant of the table.
            let (same, alive, code, branch) = unsafe {
                let code = helpers::miniring_jump_entry_code(entry);
                (
                    helpers::miniring_jump_entry_key(entry) == key.as_ptr(),
                    row.init || !helpers::miniring_jump_entry_is_init(entry),
                    code as usize,
                    helpers::miniring_jump_entry_is_branch(entry),
                )
            };
            if !same {
                break;
            }
            // SAFETY: As above. This leaves out code that a kernel built without unloading has
            // discarded.
            if alive && unsafe { helpers::miniring_kernel_text_address(code as c_ulong) } != 0 {
                let patch = Patch {
                    entry,
                    code,
                    way,
                    jump: enable != branch,
                };
                patches.push(patch, GFP_KERNEL)?;
            }
            entry = entry.wrapping_add(1);
        }
        Ok(())
    }

    /// Whether the list of users of a key of the kernel's, which this module uses as well, has
    /// nodes that look like [`User`].
    fn list_is_familiar(&self) -> bool {
        // SAFETY: It returns a pointer to a key of the kernel's.
        let key = unsafe { Key::from_raw(helpers::miniring_linked_key()) };
        let this = helpers::this_module().cast_const();
        // SAFETY: The module is this one.
        let (entries, len) = unsafe { ((*this).jump_entries, (*this).num_jump_entries as usize) };
        let ours = entries.addr()..entries.wrapping_add(len).addr();
        let kernels = self.table.start..self.table.stop;
        let (mut we, mut kernel) = (false, false);

        let Users::Linked(list) = key.users() else {
            return false;
        };
        let mut next = list.cast::<User>();
        // One node for each module that is loaded, at most.
        for _ in 0..4096 {
            if next.is_null() {
                break;
            }
            let Ok(user) = read_nofault(next) else {
                return false;
            };
            let expected = if user.module == this {
                we = true;
                Some(&ours)
            } else if user.module.is_null() {
                kernel = true;
                Some(&kernels)
            } else {
                None
            };
            if let Some(table) = expected {
                if !table.contains(&user.entries.addr()) {
                    return false;
                }
                // SAFETY: It is in a table, for which see `collect_row()`.
                if unsafe { helpers::miniring_jump_entry_key(user.entries) } != key.as_ptr() {
                    return false;
                }
            }
            next = user.next;
        }
        we && kernel && next.is_null()
    }
}
