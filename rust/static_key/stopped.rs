// SPDX-License-Identifier: GPL-2.0

//! Patching while all other CPUs are stopped.
//!
//! The pages of the code are mapped a second time, writable. Then all CPUs meet in [`wait`] with
//! interrupts off. The last CPU to arrive writes every patch site once, as a whole, while the
//! others spin. Each CPU serialises before it leaves, so that it executes no instruction fetched
//! earlier. So one rendezvous covers any number of patch sites, but no task runs meanwhile.
//!
//! This backend is for comparison only. An NMI is not stopped: it may execute a half-written
//! instruction. Perf does not learn of the change.

use super::{
    entries::Patch,
    transit::Transit,
    work::{
        trace_batch,
        Work, //
    }, //
};
use crate::{
    bindings as helpers,
    kallsyms::{
        Missing,
        Symbols, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        lock::{
            mutex::MutexBackend,
            Lock, //
        }, //
    },
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// Length of the longest instruction of a jump label.
const LONGEST: usize = 5;

const NOP2: [u8; 2] = [0x66, 0x90];
const NOP5: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];
const JMP8: u8 = 0xeb;
const JMP32: u8 = 0xe9;

/// The kernel's symbols that this backend uses and that are not exported.
///
/// # Invariants
///
/// The static call of `miniring_stop_machine_cpuslocked()` goes to the kernel's function.
/// `text_mutex` and `init_mm` point to the kernel's variables of these names.
pub(super) struct Stopped {
    text_mutex: NonNull<c_void>,
    init_mm: NonNull<c_void>,
}

// SAFETY: Any task may use the mutex and the address space, which have locks of their own.
unsafe impl Send for Stopped {}
// SAFETY: As above.
unsafe impl Sync for Stopped {}

/// A writable mapping of the pages of code.
///
/// # Invariants
///
/// The pages with the numbers `pages`, in ascending order, are mapped one after the other at
/// `start`.
pub(super) struct Mapping<'a> {
    stopped: &'a Stopped,
    pages: KVVec<usize>,
    start: *mut u8,
}

/// The data that the CPUs share while they are stopped.
struct Rendezvous<'a> {
    mapping: &'a Mapping<'a>,
    patches: &'a [Patch],
    cpus: i32,
    arrived: Atomic<i32>,
    done: Atomic<i32>,
    unexpected: Atomic<i32>,
}

impl Stopped {
    pub(super) fn find(symbols: &Symbols) -> Result<Self, Missing> {
        let stop = symbols.address(c"stop_machine_cpuslocked")?;
        let text_mutex = symbols.address(c"text_mutex")?;
        let init_mm = symbols.address(c"init_mm")?;
        // SAFETY: `stop` is the address of `stop_machine_cpuslocked()`.
        unsafe { helpers::miniring_set_stop_machine_cpuslocked(stop.as_ptr()) };
        // INVARIANT: The static call is set above, and the addresses are those of the symbols of
        // the same names.
        Ok(Self {
            text_mutex,
            init_mm,
        })
    }

    /// Maps the pages of `patches`, which are sorted by code address. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if a patch site has no jump label instruction, `ENOMEM`.
    pub(super) fn map(&self, patches: &[Patch]) -> Result<Mapping<'_>> {
        let mut pages = KVVec::new();
        for patch in patches {
            let last = patch.code + len(patch.code).ok_or(EINVAL)? - 1;
            for page in [patch.code / PAGE_SIZE, last / PAGE_SIZE] {
                if pages.last().is_none_or(|last| *last < page) {
                    pages.push(page, GFP_KERNEL)?;
                }
            }
        }

        let mut mapped = KVVec::with_capacity(pages.len(), GFP_KERNEL)?;
        // SAFETY:
        // - `init_mm` is the kernel's address space (type invariant).
        // - Its page tables do not change while its mmap lock is held.
        // - The pages have code that stays until the apply is over.
        unsafe {
            helpers::miniring_mmap_read_lock(self.init_mm.as_ptr());
            for page in pages.iter() {
                let address = page * PAGE_SIZE;
                // The capacity is the number of pages, so the push does not fail.
                let _ =
                    mapped.push_within_capacity(helpers::miniring_text_page(address as c_ulong));
            }
            helpers::miniring_mmap_read_unlock(self.init_mm.as_ptr());
        }

        let start = if mapped.is_empty() {
            core::ptr::null_mut()
        } else {
            // SAFETY: The function gets the length of `mapped`.
            let start = unsafe {
                helpers::miniring_map_pages(mapped.as_mut_ptr(), u32::try_from(mapped.len())?)
            };
            NonNull::new(start).ok_or(ENOMEM)?.as_ptr()
        };
        // INVARIANT: `miniring_map_pages()` mapped the pages at `start` in this order.
        Ok(Mapping {
            stopped: self,
            pages,
            start: start.cast(),
        })
    }
}

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        // SAFETY: `start` is null or a mapping (type invariant), which is not used after the drop.
        unsafe { helpers::vunmap(self.start.cast()) };
    }
}

impl Mapping<'_> {
    /// Returns the writable address of `code`.
    fn writable(&self, code: usize) -> Option<*mut u8> {
        let at = self.pages.binary_search(&(code / PAGE_SIZE)).ok()?;
        Some(self.start.wrapping_add(at * PAGE_SIZE + code % PAGE_SIZE))
    }

    /// Patches the code.
    ///
    /// # Safety
    ///
    /// As for [`super::backend::Plan::carry_out`].
    pub(super) unsafe fn patch(&self, patches: &mut KVVec<Patch>, transit: &mut Transit) -> Work {
        patches.retain(|patch| transit.begin(patch));
        if patches.is_empty() {
            return Work::default();
        }
        let start = Instant::<Monotonic>::now();
        let mutex = self.stopped.text_mutex.as_ptr().cast();
        // SAFETY: `text_mutex` is an initialised mutex (invariant of `Stopped`).
        let _text = unsafe { Lock::<(), MutexBackend>::from_raw(mutex) }.lock();
        let mut rendezvous = Rendezvous {
            mapping: self,
            patches,
            // SAFETY: The caller holds `cpus_read_lock()`, so the number of online CPUs does not
            // change.
            cpus: unsafe { helpers::miniring_num_online_cpus() } as i32,
            arrived: Atomic::new(0),
            done: Atomic::new(0),
            unexpected: Atomic::new(0),
        };
        // SAFETY:
        // - The caller holds `cpus_read_lock()`.
        // - The static call is set (invariant of `Stopped`).
        // - `rendezvous` outlives its use: all CPUs have returned from `wait()` when the call
        //   returns.
        unsafe {
            helpers::miniring_stop_machine_cpuslocked(
                Some(wait),
                (&raw mut rendezvous).cast(),
                helpers::miniring_cpu_online_mask(),
            )
        };
        let unexpected = rendezvous.unexpected.load(Relaxed);
        if unexpected != 0 {
            pr_crit!("static keys: {unexpected} places left: not the code expected\n");
        }
        let keys = patches.iter().filter(|patch| transit.end(patch)).count();
        trace_batch(keys, patches.len(), 1, start);
        Work {
            entries: patches.len(),
            batches: 1,
            syncs: 1,
        }
    }
}

/// Writes all patches on the last CPU to arrive. The other CPUs spin until the patches are written.
///
/// Context: every online CPU, interrupts off.
///
/// # Safety
///
/// `data` is a [`Rendezvous`] for as many CPUs as call this function.
unsafe extern "C" fn wait(data: *mut c_void) -> c_int {
    // SAFETY: `data` is a `Rendezvous` (caller).
    let rendezvous = unsafe { &*data.cast::<Rendezvous<'_>>() };
    if rendezvous.arrived.fetch_add(1, Full) + 1 == rendezvous.cpus {
        for patch in rendezvous.patches {
            if write(rendezvous.mapping, patch).is_none() {
                rendezvous.unexpected.add(1, Relaxed);
            }
        }
        rendezvous.done.store(1, Release);
    } else {
        while rendezvous.done.load(Acquire) == 0 {
            core::hint::spin_loop();
        }
    }
    // SAFETY: Any kernel code may execute a serialising instruction.
    unsafe { helpers::miniring_sync_core() };
    0
}

/// Returns the length of the instruction at `code`, if it is one of a jump label.
fn len(code: usize) -> Option<usize> {
    let code: *const u8 = core::ptr::with_exposed_provenance(code);
    // SAFETY: `code` is the address of a jump entry, whose code exists.
    match unsafe { code.read() } {
        JMP8 | 0x66 => Some(2),
        JMP32 | 0x0f => Some(5),
        _ => None,
    }
}

/// Writes one patch site, if it has the instruction of the other state.
fn write(mapping: &Mapping<'_>, patch: &Patch) -> Option<()> {
    // SAFETY: The entry is in a jump table; the function only computes the target.
    let target = unsafe { helpers::miniring_jump_entry_target(patch.entry) } as usize;
    let code: *const u8 = core::ptr::with_exposed_provenance(patch.code);
    let distance = |len: usize| target.wrapping_sub(patch.code.wrapping_add(len));
    let mut nop = [0; LONGEST];
    let mut jump = [0; LONGEST];

    let len = len(patch.code)?;
    if len == 2 {
        nop[..2].copy_from_slice(&NOP2);
        jump[..2].copy_from_slice(&[JMP8, distance(2) as u8]);
    } else {
        let [a, b, c, d] = (distance(5) as u32).to_le_bytes();
        nop = NOP5;
        jump = [JMP32, a, b, c, d];
    }
    let (new, old) = if patch.jump { (jump, nop) } else { (nop, jump) };
    // SAFETY: `code` has an instruction of that length.
    let found = unsafe { core::slice::from_raw_parts(code, len) };
    if old.get(..len) != Some(found) {
        return None;
    }
    let to = mapping.writable(patch.code)?;
    // SAFETY: The pages of the instruction, one or two, are mapped at `to`, one after the other.
    // `text_mutex` is held, and no other CPU runs code.
    unsafe { to.copy_from_nonoverlapping(new.as_ptr(), len) };
    Some(())
}
