// SPDX-License-Identifier: GPL-2.0

//! Uses `dyn_debug!` in another module: 4,096 sites in 64 functions.
//!
//! The sites are listed in miniring's control file, and one apply turns them on:
//!
//! ```sh
//! echo 'module miniring_many_sites func group_1? +pf' >/sys/kernel/debug/miniring/control
//! echo >/dev/miniring_many_sites
//! ```
//!
//! A write to the device runs every function once. A site that is off costs a NOP.

use kernel::{
    fs::{
        File,
        Kiocb, //
    },
    iov::IovIterSource,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    prelude::*, //
};
use miniring::{
    dyn_debug,
    register_sites, //
};

module! {
    type: ManySites,
    name: "miniring_many_sites",
    authors: ["The miniring developers"],
    description: "A sample of dyn_debug!: thousands of sites",
    license: "GPL",
}

macro_rules! eight {
    ($macro:ident!($function:ident, $($number:expr),*)) => {
        $macro!($function, $($number,)* 0);
        $macro!($function, $($number,)* 1);
        $macro!($function, $($number,)* 2);
        $macro!($function, $($number,)* 3);
        $macro!($function, $($number,)* 4);
        $macro!($function, $($number,)* 5);
        $macro!($function, $($number,)* 6);
        $macro!($function, $($number,)* 7);
    };
}

macro_rules! site {
    ($function:ident, $high:expr, $low:expr) => {
        dyn_debug!($function, "octal {}{}\n", $high, $low);
    };
}

macro_rules! eight_sites {
    ($function:ident, $high:expr) => {
        eight!(site!($function, $high));
    };
}

/// Defines functions of 64 sites each, and a list of the functions.
macro_rules! functions {
    ($($function:ident)*) => {
        $(
            #[inline(never)]
            fn $function() {
                eight!(eight_sites!($function,));
            }
        )*

        const FUNCTIONS: &[fn()] = &[$($function),*];
    };
}

functions! {
    group_00 group_01 group_02 group_03 group_04 group_05 group_06 group_07
    group_10 group_11 group_12 group_13 group_14 group_15 group_16 group_17
    group_20 group_21 group_22 group_23 group_24 group_25 group_26 group_27
    group_30 group_31 group_32 group_33 group_34 group_35 group_36 group_37
    group_40 group_41 group_42 group_43 group_44 group_45 group_46 group_47
    group_50 group_51 group_52 group_53 group_54 group_55 group_56 group_57
    group_60 group_61 group_62 group_63 group_64 group_65 group_66 group_67
    group_70 group_71 group_72 group_73 group_74 group_75 group_76 group_77
}

/// Runs every function once for each write.
struct Runner;

#[vtable]
impl MiscDevice for Runner {
    type Ptr = KBox<Self>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<KBox<Self>> {
        Ok(KBox::new(Self, GFP_KERNEL)?)
    }

    fn write_iter(_kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterSource<'_>) -> Result<usize> {
        for function in FUNCTIONS {
            function();
        }
        Ok(iov.len())
    }
}

#[pin_data]
struct ManySites {
    #[pin]
    _device: MiscDeviceRegistration<Runner>,
}

impl kernel::InPlaceModule for ManySites {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _: { register_sites!()? },
            _device <- MiscDeviceRegistration::register(MiscDeviceOptions {
                name: c"miniring_many_sites",
            }),
        })
    }
}
