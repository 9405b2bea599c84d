// SPDX-License-Identifier: GPL-2.0

//! `/dev/miniring`: the file that becomes a ring, and its operations.

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

/// An open file: no ring yet, then one for good.
struct Handle {
    ring: SetOnce<Open>,
}

impl Handle {
    /// The file's ring.
    ///
    /// # Errors
    ///
    /// `EBADFD` before SETUP.
    fn ring(&self) -> Result<&Arc<Ring>> {
        self.ring.as_ref().map(Open::ring).ok_or(EBADFD)
    }

    /// `EBUSY` if the file is a ring; `EFAULT`; and what [`Config::new`] and [`Ring::new`] say.
    fn setup(&self, args: &bindings::miniring_setup) -> Result {
        if self.ring.as_ref().is_some() {
            return Err(EBUSY);
        }
        let mut params: bindings::io_uring_params = read(args.params)?;
        let config = Config::new(args.entries, &params)?;
        config.describe(&mut params);
        let ring = Ring::new(config, args.notify_model)?;
        // All memory is allocated before userspace can see anything.
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

    fn ioctl(this: &Self, file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let arg = arg as u64;
        // In a process with one thread the system call holds no reference to the file. A wait runs
        // task work, which may close the descriptor.
        let hold = |waits: bool| waits.then(|| ARef::from(file));
        let (low, high) = (arg as u32, (arg >> 32) as u32);
        let ret = match cmd {
            SUBMIT => {
                let ring = this.ring()?;
                let _held = hold(high != 0 || ring.notifier.may_wait());
                ring.submit_and_wait(low, high)?
            }
            EVENTFD => {
                let ring = this.ring()?;
                let _held = hold(ring.notifier.may_wait());
                ring.register_value(high, low)?
            }
            ENTER => {
                let _held = hold(true);
                this.ring()?.enter(&read(arg)?)?
            }
            REGISTER => {
                let _held = hold(true);
                this.ring()?.register(&read(arg)?)?
            }
            SETUP => {
                let _held = hold(true);
                this.setup(&read(arg)?)?;
                0
            }
            _ => return Err(ENOTTY),
        };
        Ok(ret as isize)
    }

    fn mmap(this: &Self, _file: &File, vma: &VmaNew) -> Result {
        let ring = this.ring()?;
        vma.try_clear_mayexec().map_err(|_| EPERM)?;
        // SAFETY: The VMA is being set up, and nothing else uses it.
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

/// # Safety
///
/// `file` is a file of this device and `table` null or valid, as in every poll operation.
unsafe extern "C" fn poll(
    file: *mut bindings::file,
    table: *mut bindings::poll_table,
) -> bindings::__poll_t {
    // SAFETY: By the safety requirements; `open` put the handle there, and `release` comes after.
    let handle = unsafe { <KBox<Handle> as ForeignOwnable>::borrow((*file).private_data) };
    let Ok(ring) = handle.ring() else {
        return bindings::CONST_EPOLLERR;
    };
    // SAFETY: By the safety requirements; the ring lives until the file is released.
    unsafe { ring.cq_wait.poll(file, table) };
    ring.ready_for()
}

/// A descriptor is closed. If it was the last that its process has, or the process exits, some of
/// what it has in flight is cancelled, though others may have the ring open: see `Ring::leave`.
///
/// # Safety
///
/// `file` is a file of this device.
unsafe extern "C" fn flush(file: *mut bindings::file, id: bindings::fl_owner_t) -> c_int {
    // SAFETY: By the safety requirements; `open` put the handle there, and `release` comes after.
    let handle = unsafe { <KBox<Handle> as ForeignOwnable>::borrow((*file).private_data) };
    // SAFETY: Reads a flag of the current task.
    let exiting = unsafe { bindings::miniring_current_exiting() };
    if let Ok(ring) = handle.ring() {
        // Only then does it matter who has descriptors of the ring, which is slow to find out.
        if ring.had_keepers.load(Acquire) && (exiting || !is_open(file)) {
            ring.leave(Files::from_flush(id));
        }
    }
    0
}

/// Whether the current process has a descriptor of `file`.
fn is_open(file: *mut bindings::file) -> bool {
    extern "C" fn is_same(file: *const c_void, other: *mut bindings::file, _fd: c_uint) -> c_int {
        ptr::eq(file, other.cast()).into()
    }
    // SAFETY: The current task's table, or null, which the function accepts.
    unsafe {
        let files = (*Task::current_raw()).files;
        bindings::iterate_fd(files, 0, Some(is_same), file.cast_const().cast()) != 0
    }
}

/// What the requests of the ring that `file` is know of it, if it is one.
pub(crate) fn core_of(file: &File) -> Option<Arc<Core>> {
    ring_of(file).map(|ring| ring.core.clone())
}

/// The ring that `file` is, if it is one.
pub(crate) fn ring_of(file: &File) -> Option<Arc<Ring>> {
    // SAFETY: An open file has operations; neither they nor, in a file of this device, the private
    // data change while it is open.
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
/// It adds to [`MiscDeviceRegistration`] what that has no method for: poll, flush, and the file's
/// mode.
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

// SAFETY: May be deregistered from any task.
unsafe impl Send for Registration {}
// SAFETY: There is nothing to do with a shared reference.
unsafe impl Sync for Registration {}

impl Registration {
    /// Registers the device. To be called once. May sleep.
    ///
    /// # Errors
    ///
    /// What `misc_register()` says.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        let misc = MiscDeviceOptions { name: c"miniring" }.into_raw::<Handle>();
        // SAFETY: `into_raw` points to a constant table of operations.
        let mut operations = unsafe { *misc.fops };
        operations.poll = Some(poll);
        operations.flush = Some(flush);
        try_pin_init!(&this in Self {
            fops: Opaque::new(operations),
            misc <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                let misc = bindings::miscdevice {
                    mode: 0o600,
                    // SAFETY: The field was initialised above, and is pinned.
                    fops: unsafe { Opaque::cast_into(&raw const (*this.as_ptr()).fops) },
                    ..misc
                };
                // SAFETY: `slot` is ours to write, pinned, and deregistered before it goes.
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
        // SAFETY: By the type invariants.
        unsafe { bindings::misc_deregister(self.misc.get()) };
    }
}
