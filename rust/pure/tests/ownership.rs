// SPDX-License-Identifier: GPL-2.0

//! Tests the ownership of a request step by step; `loom_ownership.rs` tests every interleaving.

use miniring_pure::ownership::{
    Claim,
    Ownership,
    Word, //
};
use std::sync::{
    atomic::{
        AtomicU32,
        Ordering::Relaxed, //
    },
    Arc, //
};

#[test]
fn request_has_one_owner_at_a_time() {
    let request = Ownership::new();
    assert_eq!(request.claim(), Claim::Told);
    assert!(request.has_word());
    assert_eq!(request.release(), Err(Word::Event));
    assert!(!request.has_word());
    assert_eq!(request.release(), Ok(()));
    assert_eq!(request.claim(), Claim::Gained);
    assert_eq!(request.release(), Ok(()));
}

#[test]
fn cancel_word_stays_until_the_request_completes() {
    let request = Ownership::new();
    assert_eq!(request.cancel(), Claim::Told);
    assert_eq!(request.claim(), Claim::Told);
    for _ in 0..3 {
        assert_eq!(request.release(), Err(Word::Cancel));
    }
    request.finish();
    assert_eq!(request.cancel(), Claim::Done);
    assert_eq!(request.claim(), Claim::Done);
}

#[test]
fn canceller_of_a_request_without_an_owner_becomes_its_owner() {
    let request = Ownership::new();
    assert_eq!(request.release(), Ok(()));
    assert_eq!(request.cancel(), Claim::Gained);
    assert_eq!(request.word(), Some(Word::Cancel));
    assert_eq!(request.cancel(), Claim::Again);
}

#[test]
fn second_cancel_finds_the_owner_told() {
    let request = Ownership::new();
    assert_eq!(request.claim(), Claim::Told);
    assert_eq!(request.cancel(), Claim::Told);
    assert_eq!(request.cancel(), Claim::Again);
    assert_eq!(request.claim(), Claim::Told);
}

#[test]
fn try_finish_fails_only_after_a_cancel() {
    let request = Ownership::new();
    assert!(request.try_finish());
    assert!(request.is_finished());
    assert_eq!(request.cancel(), Claim::Done);
    let request = Ownership::new();
    assert_eq!(request.cancel(), Claim::Told);
    assert!(!request.try_finish());
    assert!(!request.is_finished());
}

#[test]
fn try_claim_leaves_no_word() {
    let request = Ownership::new();
    assert_eq!(request.try_claim(), Claim::Told);
    assert_eq!(request.release(), Ok(()));
    assert_eq!(request.try_claim(), Claim::Gained);
}

#[test]
fn try_cancel_leaves_no_word_for_another_owner() {
    let request = Ownership::new();
    assert_eq!(request.try_cancel(), Claim::Told);
    assert_eq!(request.release(), Ok(()));
    assert_eq!(request.try_cancel(), Claim::Gained);
    assert_eq!(request.word(), Some(Word::Cancel));
    request.finish();
    assert_eq!(request.try_cancel(), Claim::Done);
}

#[test]
fn last_owner_reads_every_event_of_four_threads() {
    // Producers increment the count, then claim; an owner reads the count. The last owner must have
    // read the final count.
    let request = Arc::new(Ownership::new());
    assert_eq!(request.release(), Ok(()));
    let made = Arc::new(AtomicU32::new(0));
    let seen = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (request, made, seen) = (request.clone(), made.clone(), seen.clone());
            std::thread::spawn(move || {
                for _ in 0..10_000 {
                    made.fetch_add(1, Relaxed);
                    if request.claim() != Claim::Gained {
                        continue;
                    }
                    loop {
                        seen.store(made.load(Relaxed), Relaxed);
                        if request.release().is_ok() {
                            break;
                        }
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(seen.load(Relaxed), 40_000);
}
