// SPDX-License-Identifier: GPL-2.0

//! `/dev/miniring`: the operations of its files. SETUP makes a file a ring.

use super::exec::Open;
use crate::{
    bindings,
    ring::{
        abi::{
            setup::Config,
            uaccess::{
                read,
                write, //
            }, //
        },
        req::{
            core::Core,
            target::Files, //
        },
        Ring, //
    }, //
};
use core::ptr;
use kernel::{
    error::to_result,
    fs::File,
    ioctl::{
        _IO,
        _IOW, //
    },
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    mm::virt::VmaNew,
    prelude::*,
    seq_file::SeqFile,
    sync::{
        aref::ARef,
        atomic::ordering::Acquire,
        Arc,
        SetOnce, //
    },
    task::Task,
    types::{
        ForeignOwnable,
        Opaque, //
    }, //
};

const MAGIC: u32 = bindings::MINIRING_IOC_MAGIC;
const SETUP: u32 = _IOW::<bindings::miniring_setup>(MAGIC, 0x00);
const ENTER: u32 = _IOW::<bindings::miniring_enter>(MAGIC, 0x01);
const REGISTER: u32 = _IOW::<bindings::miniring_register>(MAGIC, 0x02);
const SUBMIT: u32 = _IO(MAGIC, 0x03);
const EVENTFD: u32 = _IO(MAGIC, 0x04);

/// An open file. SETUP makes it a ring, once.
struct Handle {
    ring: SetOnce<Open>,
}

impl Handle {
    /// Returns the file's ring.
    ///
    /// # Errors
    ///
    /// `EBADFD` before SETUP.
    fn ring(&self) -> Result<&Arc<Ring>> {
        self.ring.as_ref().map(Open::ring).ok_or(EBADFD)
    }

    /// Makes a call, which may wait.
    #[inline(never)]
    fn call(&self, file: &File, cmd: u32, arg: u64) -> Result<u32> {
        // A process with one thread holds no reference to the file during a system call. Task work
        // of a wait may close the descriptor.
        let _held = ARef::from(file);
        let (low, high) = (arg as u32, (arg >> 32) as u32);
        match cmd {
            SUBMIT => self.ring()?.submit_and_wait(low, high),
            EVENTFD => self.ring()?.register_value(high, low),
            ENTER => self.ring()?.enter(&read(arg)?),
            REGISTER => self.ring()?.register(&read(arg)?),
            SETUP => self.setup(&read(arg)?).map(|()| 0),
            _ => Err(ENOTTY),
        }
    }

    /// Makes the file a ring. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the file is a ring; `EFAULT`; and the errors of [`Config::new`] and
    /// [`Ring::new`].
    fn setup(&self, args: &bindings::miniring_setup) -> Result {
        if self.ring.as_ref().is_some() {
            return Err(EBUSY);
        }
        let mut params: bindings::io_uring_params = read(args.params)?;
        let config = Config::new(args.entries, &params)?;
        config.describe(&mut params);
        let ring = Ring::new(config, args.notify_model)?;
        // All memory is allocated before userspace sees a result.
        let open = Open::new(ring.clone())?;
        write(args.params, &params)?;
        ring.start_polling()?;
        if self.ring.populate(open) {
            Ok(())
        } else {
            ring.end_polling();
            Err(EBUSY)
        }
    }
}

#[vtable]
impl MiscDevice for Handle {
    type Ptr = KBox<Self>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                ring: SetOnce::new(),
            },
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    fn mmap(this: &Self, _file: &File, vma: &VmaNew) -> Result {
        let ring = this.ring()?;
        vma.try_clear_mayexec().map_err(|_| EPERM)?;
        // SAFETY: The VMA is being set up, and no other code uses it.
        let offset = unsafe { (*vma.as_ptr()).vm_pgoff } << bindings::PAGE_SHIFT;
        match u32::try_from(offset) {
            Ok(bindings::IORING_OFF_SQ_RING | bindings::IORING_OFF_CQ_RING) => {
                ring.shared.map_rings(vma)
            }
            Ok(bindings::IORING_OFF_SQES) => ring.shared.map_sqes(vma),
            _ => Err(EINVAL),
        }
    }

    fn release(this: KBox<Self>, _file: &File) {
        if let Ok(ring) = this.ring() {
            ring.end_polling();
            ring.shut_down();
        }
    }

    fn show_fdinfo(this: &Self, m: &SeqFile, _file: &File) {
        if let Ok(ring) = this.ring() {
            ring.show(m);
        }
    }
}

/// Returns what a system call returns.
#[inline(always)]
fn returned(result: Result<u32>) -> c_long {
    match result {
        Ok(value) => value as c_long,
        Err(error) => error.to_errno() as c_long,
    }
}

/// Makes a call.
///
/// Not `MiscDevice::ioctl`, whose result is passed in memory. Each call by value is a function of
/// its own, which saves only the registers that it uses.
///
/// # Safety
///
/// `file` is an open file of this device, and stays open during the call.
unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
    // SAFETY: `file` is an open file of this device (caller). `open` stored the handle, and
    // `release` comes later.
    let (handle, file) = unsafe {
        (
            <KBox<Handle> as ForeignOwnable>::borrow((*file).private_data),
            File::from_raw_file(file),
        )
    };
    match cmd {
        SUBMIT => submit(handle, file, arg),
        EVENTFD => change_eventfd(handle, file, arg),
        _ => returned(handle.call(file, cmd, arg as u64)),
    }
}

/// Submits, and waits if the high half of `arg` is not 0.
#[inline(never)]
fn submit(handle: &Handle, file: &File, arg: c_ulong) -> c_long {
    let arg = arg as u64;
    returned(match handle.ring() {
        Ok(ring) if arg >> 32 == 0 && !ring.notifier.may_wait() => {
            ring.submit_and_wait(arg as u32, 0)
        }
        _ => handle.call(file, SUBMIT, arg),
    })
}

/// Registers or unregisters an eventfd.
#[inline(never)]
fn change_eventfd(handle: &Handle, file: &File, arg: c_ulong) -> c_long {
    let arg = arg as u64;
    returned(match handle.ring() {
        Ok(ring) if !ring.notifier.may_wait() => {
            ring.register_value((arg >> 32) as u32, arg as u32)
        }
        _ => handle.call(file, EVENTFD, arg),
    })
}

/// # Safety
///
/// `file` is an open file of this device. `table` is null or valid, as in every poll operation.
unsafe extern "C" fn poll(
    file: *mut bindings::file,
    table: *mut bindings::poll_table,
) -> bindings::__poll_t {
    // SAFETY: `file` is an open file of this device (caller). `open` stored the handle, and
    // `release` comes later.
    let handle = unsafe { <KBox<Handle> as ForeignOwnable>::borrow((*file).private_data) };
    let Ok(ring) = handle.ring() else {
        return bindings::CONST_EPOLLERR;
    };
    // SAFETY: `table` is null or valid (caller). The ring lives until the release of the file,
    // which removes the entries before.
    unsafe { ring.cq_wait.poll(file, table) };
    ring.ready_for()
}

/// Handles the close of a descriptor. If the process has no other descriptor of the ring, or exits,
/// some of its requests are cancelled: see `Ring::leave`. Other processes may still have the ring
/// open.
///
/// # Safety
///
/// `file` is an open file of this device.
unsafe extern "C" fn flush(file: *mut bindings::file, id: bindings::fl_owner_t) -> c_int {
    // SAFETY: `file` is an open file of this device (caller). `open` stored the handle, and
    // `release` comes later.
    let handle = unsafe { <KBox<Handle> as ForeignOwnable>::borrow((*file).private_data) };
    // SAFETY: Only reads the current task.
    let exiting = unsafe { bindings::miniring_current_exiting() };
    if let Ok(ring) = handle.ring() {
        // `is_open` searches the whole table, so it runs only if a request may keep the ring.
        if ring.had_keepers.load(Acquire) && (exiting || !is_open(file)) {
            ring.leave(Files::from_flush(id));
        }
    }
    0
}

/// Returns whether the current process has a descriptor of `file`.
fn is_open(file: *mut bindings::file) -> bool {
    extern "C" fn is_same(file: *const c_void, other: *mut bindings::file, _fd: c_uint) -> c_int {
        ptr::eq(file, other.cast()).into()
    }
    // SAFETY: `files` is the current task's table, or null, which `iterate_fd()` accepts.
    unsafe {
        let files = (*Task::current_raw()).files;
        bindings::iterate_fd(files, 0, Some(is_same), file.cast_const().cast()) != 0
    }
}

/// Returns the core of the ring of `file`; `None` if `file` is no ring.
pub(crate) fn core_of(file: &File) -> Option<Arc<Core>> {
    ring_of(file).map(|ring| ring.core.clone())
}

/// Returns the ring of `file`; `None` if `file` is no ring.
pub(crate) fn ring_of(file: &File) -> Option<Arc<Ring>> {
    // SAFETY: An open file has operations, which do not change while it is open. A file with this
    // `poll` is of this device, and `open` stored its handle.
    let handle = unsafe {
        let file = file.as_ptr();
        let mine: PollFn = poll;
        if !(*(*file).f_op)
            .poll
            .is_some_and(|poll| ptr::fn_addr_eq(poll, mine))
        {
            return None;
        }
        <KBox<Handle> as ForeignOwnable>::borrow((*file).private_data)
    };
    handle.ring().ok().cloned()
}

type PollFn =
    unsafe extern "C" fn(*mut bindings::file, *mut bindings::poll_table) -> bindings::__poll_t;

/// The registered device. Dropping it removes `/dev/miniring`.
///
/// Adds to [`MiscDeviceRegistration`] the operations ioctl, poll and flush, and the file's mode.
///
/// # Invariants
///
/// `misc` is registered, and its `fops` points to `fops`.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration {
    #[pin]
    fops: Opaque<bindings::file_operations>,
    #[pin]
    misc: Opaque<bindings::miscdevice>,
}

// SAFETY: Any task may deregister the device.
unsafe impl Send for Registration {}
// SAFETY: A shared reference gives no access to the fields.
unsafe impl Sync for Registration {}

impl Registration {
    /// Registers the device. Called once. May sleep.
    ///
    /// # Errors
    ///
    /// The errors of `misc_register()`.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        let misc = MiscDeviceOptions { name: c"miniring" }.into_raw::<Handle>();
        // SAFETY: `misc.fops` points to a constant table of operations.
        let mut operations = unsafe { *misc.fops };
        operations.unlocked_ioctl = Some(ioctl);
        operations.compat_ioctl = bindings::compat_ptr_ioctl;
        operations.poll = Some(poll);
        operations.flush = Some(flush);
        try_pin_init!(&this in Self {
            fops: Opaque::new(operations),
            misc <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                let misc = bindings::miscdevice {
                    mode: 0o600,
                    // SAFETY: `fops` was initialised above, and is pinned.
                    fops: unsafe { Opaque::cast_into(&raw const (*this.as_ptr()).fops) },
                    ..misc
                };
                // SAFETY: `slot` is uninitialised memory of this value, which is pinned, and
                // deregistered before it is freed.
                unsafe {
                    slot.write(misc);
                    to_result(bindings::misc_register(slot))
                }
            }),
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Registration {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: `misc` is registered (type invariants).
        unsafe { bindings::misc_deregister(self.misc.get()) };
    }
}
