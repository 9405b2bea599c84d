/// A setting that is read often and changed rarely.
struct Limit(u32);

static LIMIT: Rcu<Limit> = Rcu::null();

fn set_limit(limit: u32) -> Result {
    // The old value is dropped after a grace period. This function does not wait.
    drop(LIMIT.replace(Some(Unpublished::new(Limit(limit), GFP_KERNEL)?)));
    Ok(())
}

fn limit() -> Option<u32> {
    let guard = rcu::read_lock();
    LIMIT.load(&guard).map(|limit| (*limit).0)
}
