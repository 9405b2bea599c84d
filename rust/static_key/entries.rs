// SPDX-License-Identifier: GPL-2.0

//! The jump entries of a key: the patch sites that branch on the key.
//!
//! The entries of a key are a row in one table. If modules other than its own use the key, its
//! entries are a list of such rows. The layout of a list node is private to `kernel/jump_label.c`.
//! So the layout below is checked at load, on a list that must include this module.
//!
//! Locking: entries and lists are read under the jump label mutex; [`JumpLabels`] is its guard.

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

/// The kernel's jump label functions that are not exported.
///
/// # Invariants
///
/// The static calls of `miniring_jump_label_lock()`, `_unlock()`, `miniring_kernel_text_address()`
/// and `miniring___module_address()` go to these functions. `start` and `stop` delimit the kernel's
/// own jump entries.
pub(super) struct JumpTable {
    start: usize,
    stop: usize,
    linked: bool,
}

/// Holds `cpus_read_lock()`: no CPU goes online or offline.
pub(super) struct Cpus(NotThreadSafe);

impl Cpus {
    /// Takes `cpus_read_lock()`. May sleep.
    pub(super) fn lock() -> Self {
        // SAFETY: The caller may sleep: every apply runs in process context.
        unsafe { bindings::cpus_read_lock() };
        Self(NotThreadSafe)
    }
}

impl Drop for Cpus {
    fn drop(&mut self) {
        // SAFETY: This task took the lock in `lock()`.
        unsafe { bindings::cpus_read_unlock() };
    }
}

/// Holds the jump label mutex and `cpus_read_lock()`.
pub(super) struct JumpLabels<'a> {
    table: &'a JumpTable,
    /// Released after the mutex.
    _cpus: Cpus,
}

impl Drop for JumpLabels<'_> {
    fn drop(&mut self) {
        // SAFETY: This task took the mutex in `lock()`; the static call is set (invariant of
        // `table`).
        unsafe { helpers::miniring_jump_label_unlock() };
    }
}

/// One patch site, and the instruction to write there.
pub(super) struct Patch {
    /// The jump entry.
    pub(super) entry: *mut bindings::jump_entry,
    /// The address of the instruction.
    pub(super) code: usize,
    /// The number of the key in [`Transit`](super::transit::Transit).
    pub(super) way: u32,
    /// True to write a jump, false to write a NOP.
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
    /// True while the init code exists.
    init: bool,
}

impl JumpTable {
    /// Finds the functions and the table. May sleep.
    pub(super) fn find(symbols: &Symbols) -> Result<Self, Missing> {
        let lock = symbols.address(c"jump_label_lock")?;
        let unlock = symbols.address(c"jump_label_unlock")?;
        let text = symbols.address(c"kernel_text_address")?;
        let module = symbols.address(c"__module_address")?;
        let start = symbols.address(c"__start___jump_table")?;
        let stop = symbols.address(c"__stop___jump_table")?;
        // SAFETY: The four pointers are the addresses of these functions.
        unsafe {
            helpers::miniring_set_jump_label_lock(lock.as_ptr());
            helpers::miniring_set_jump_label_unlock(unlock.as_ptr());
            helpers::miniring_set_kernel_text_address(text.as_ptr());
            helpers::miniring_set___module_address(module.as_ptr());
        }
        // INVARIANT: The static calls are set here.
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

    /// Takes the locks under which entries do not change. May sleep.
    pub(super) fn lock(&self) -> JumpLabels<'_> {
        let cpus = Cpus::lock();
        // SAFETY: The caller may sleep; the static call is set (type invariant).
        unsafe { helpers::miniring_jump_label_lock() };
        JumpLabels {
            table: self,
            _cpus: cpus,
        }
    }
}

impl JumpLabels<'_> {
    /// Appends the patches that change `key` to `enable`, and returns their number.
    ///
    /// `way` is the number of the key. Returns `None` if other modules use the key and the layout
    /// of their list is unknown.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if there is no memory.
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
                    // SAFETY: `list_is_familiar()` checked the layout, and the mutex keeps the
                    // list.
                    let user = unsafe { next.read() };
                    // SAFETY: The module of a node in the list exists, or is null.
                    let row = unsafe { self.module_row(user.module, user.entries) };
                    self.collect_row(row, key, enable, way, patches)?;
                    next = user.next;
                }
            }
        }
        Ok(Some(patches.len() - before))
    }

    /// Returns the row of a key without a list of users.
    fn own_row(&self, key: Key, first: *mut bindings::jump_entry) -> Row {
        let _rcu = kernel::sync::rcu::read_lock();
        // SAFETY: The static call is set (invariant of the table). The module stays until the apply
        // is over: its unload waits for the apply.
        unsafe {
            let module = helpers::miniring___module_address(key.address() as c_ulong);
            self.module_row(module.cast(), first)
        }
    }

    /// Returns the row that starts at `first` in the table of `module`, or of the kernel if null.
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
                // SAFETY: Only reads a variable.
                init: !unsafe { helpers::miniring_system_running() },
            };
        }
        // SAFETY: `module` is valid (caller). A module that becomes live meanwhile keeps its init
        // code until its notifiers have returned, and a notifier takes the jump label mutex.
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
            // SAFETY: `entry` is within a jump table, which the mutex keeps.
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
            // Skip code that a kernel without module unloading has discarded.
            // SAFETY: The static call is set (invariant of the table).
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

    /// Returns whether the list nodes of a key look like [`User`].
    ///
    /// The key is a key of the kernel that this module also uses, so its list must have both.
    fn list_is_familiar(&self) -> bool {
        // SAFETY: The helper returns a pointer to a key in the kernel image.
        let key = unsafe { Key::from_raw(helpers::miniring_linked_key()) };
        let this = helpers::this_module().cast_const();
        // SAFETY: `this` is this module, which exists.
        let (entries, len) = unsafe { ((*this).jump_entries, (*this).num_jump_entries as usize) };
        let ours = entries.addr()..entries.wrapping_add(len).addr();
        let kernels = self.table.start..self.table.stop;
        let (mut we, mut kernel) = (false, false);

        let Users::Linked(list) = key.users() else {
            return false;
        };
        let mut next = list.cast::<User>();
        // Bound the walk of a broken list: a list has at most one node for each loaded module.
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
                // SAFETY: `user.entries` is within the jump table of the kernel or of this module.
                if unsafe { helpers::miniring_jump_entry_key(user.entries) } != key.as_ptr() {
                    return false;
                }
            }
            next = user.next;
        }
        we && kernel && next.is_null()
    }
}
