// SPDX-License-Identifier: GPL-2.0

//! A program of the io-uring crate, not written for miniring. The program runs on io_uring and on
//! miniring:
//!
//! ```text
//! ./crate-ring
//! LD_PRELOAD=./miniring-preload.so ./crate-ring
//! ```
//!
//! The program prints the kind of ring, and for each test whether the ring behaves as in
//! io_uring(7). The exit status is 0 if all tests pass.

use io_uring::{
    cqueue,
    opcode,
    squeue::{
        self,
        Flags, //
    },
    types::{
        Fd,
        Timespec, //
    },
    IoUring, //
};
use std::{
    fs,
    io::{
        self,
        Read,
        Write, //
    },
    os::{
        fd::{
            AsRawFd,
            RawFd, //
        },
        unix::net::UnixStream, //
    },
    process::ExitCode,
    time::{
        Duration,
        Instant, //
    }, //
};

const POLLIN: u32 = 1;
const ETIME: i32 = 62;
const ECANCELED: i32 = 125;

/// Submits the entries, waits for a completion of each, and returns them as (user data, result)
/// in the order of the user data.
fn complete(ring: &mut IoUring, entries: &[squeue::Entry]) -> io::Result<Vec<(u64, i32)>> {
    // SAFETY: The caller's buffers outlive the requests: this function waits for all completions.
    unsafe { ring.submission().push_multiple(entries) }.map_err(io::Error::other)?;
    ring.submit_and_wait(entries.len())?;
    let result = |cqe: cqueue::Entry| (cqe.user_data(), cqe.result());
    let mut results: Vec<_> = ring.completion().map(result).collect();
    results.sort_unstable();
    Ok(results)
}

fn nops(ring: &mut IoUring) -> io::Result<bool> {
    let entries: Vec<_> = (0..8)
        .map(|n| opcode::Nop::new().build().user_data(n))
        .collect();
    let wanted: Vec<_> = (0..8).map(|n| (n, 0)).collect();
    Ok(complete(ring, &entries)? == wanted)
}

/// Writes to a socket, and reads the data with a linked request.
fn linked(ring: &mut IoUring) -> io::Result<bool> {
    let (from, to) = UnixStream::pair()?;
    let text = b"through the ring";
    let mut read = [0; 32];
    let entries = [
        opcode::Write::new(Fd(to.as_raw_fd()), text.as_ptr(), text.len() as u32)
            .build()
            .flags(Flags::IO_LINK)
            .user_data(1),
        opcode::Read::new(Fd(from.as_raw_fd()), read.as_mut_ptr(), read.len() as u32)
            .build()
            .user_data(2),
    ];
    let length = text.len() as i32;
    Ok(complete(ring, &entries)? == [(1, length), (2, length)] && read.starts_with(text))
}

/// Writes from a registered buffer.
fn registered_buffer(ring: &mut IoUring) -> io::Result<bool> {
    let (mut from, to) = UnixStream::pair()?;
    let mut buffer = *b"a registered buffer";
    let vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: The buffer stays where it is until it is unregistered below.
    unsafe { ring.submitter().register_buffers(&[vector])? };
    let write =
        opcode::WriteFixed::new(Fd(to.as_raw_fd()), buffer.as_ptr(), buffer.len() as u32, 0)
            .build();
    let results = complete(ring, &[write])?;
    ring.submitter().unregister_buffers()?;
    let mut read = [0; 19];
    Ok(results == [(0, 19)] && from.read(&mut read)? == 19 && read == buffer)
}

fn timeout(ring: &mut IoUring) -> io::Result<bool> {
    let wait = Duration::from_millis(50);
    let spec = Timespec::from(wait);
    let start = Instant::now();
    let results = complete(ring, &[opcode::Timeout::new(&spec).build()])?;
    Ok(results == [(0, -ETIME)] && start.elapsed() >= wait)
}

/// Polls a socket that has a byte, and cancels a poll of an empty socket.
fn poll(ring: &mut IoUring) -> io::Result<bool> {
    let (full, mut to_full) = UnixStream::pair()?;
    let (empty, _to_empty) = UnixStream::pair()?;
    let poll = |fd: RawFd| opcode::PollAdd::new(Fd(fd), POLLIN).build();
    to_full.write_all(b"x")?;
    let entries = [
        poll(full.as_raw_fd()).user_data(1),
        poll(empty.as_raw_fd()).user_data(2),
        opcode::AsyncCancel::new(2).build().user_data(3),
    ];
    Ok(complete(ring, &entries)? == [(1, POLLIN as i32), (2, -ECANCELED), (3, 0)])
}

fn try_all() -> io::Result<bool> {
    let mut ring = IoUring::new(8)?;
    let kind = fs::read_link(format!("/proc/self/fd/{}", ring.as_raw_fd()))?;
    println!("the ring: {}", kind.display());
    let mut good = true;
    for (name, run) in [
        ("nops", nops as fn(&mut IoUring) -> io::Result<bool>),
        ("linked write and read", linked),
        ("registered buffer", registered_buffer),
        ("timeout", timeout),
        ("poll and cancel", poll),
    ] {
        let outcome = run(&mut ring);
        match &outcome {
            Ok(true) => println!("{name}: good"),
            Ok(false) => println!("{name}: other results"),
            Err(error) => println!("{name}: {error}"),
        }
        good &= matches!(outcome, Ok(true));
    }
    Ok(good)
}

fn main() -> ExitCode {
    match try_all() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("no ring: {error}");
            ExitCode::FAILURE
        }
    }
}
