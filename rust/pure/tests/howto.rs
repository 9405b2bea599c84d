// SPDX-License-Identifier: GPL-2.0

//! Tests that the example queries of the kernel's documentation select the documented sites.
//!
//! Reference: <https://docs.kernel.org/admin-guide/dynamic-debug-howto.html>

use miniring_pure::dyndbg::*;

const fn site(
    relative: &'static str,
    lineno: u32,
    module: &'static str,
    function: &'static str,
    format: &'static str,
) -> Site<'static> {
    Site {
        module: module.as_bytes(),
        function: function.as_bytes(),
        filename: relative.as_bytes(),
        relative: relative.as_bytes(),
        format: format.as_bytes(),
        lineno,
        class: Class::NONE,
    }
}

/// Sites: each example selects some of the sites, and does not select others.
const SITES: [Site<'_>; 9] = [
    site(
        "init/main.c",
        1179,
        "main",
        "initcall_blacklist",
        "blacklisting initcall %s\n",
    ),
    site(
        "init/main.c",
        1424,
        "main",
        "run_init_process",
        "  with arguments:\n",
    ),
    site(
        "net/sunrpc/svcsock.c",
        1603,
        "sunrpc",
        "svc_tcp_accept",
        "svc: %p\n",
    ),
    site(
        "net/sunrpc/svcsock.c",
        1606,
        "sunrpc",
        "svc_tcp_recvfrom",
        "svcrdma: %p\n",
    ),
    site("fs/nfsd/vfs.c", 100, "nfsd", "nfsd_read", "nfsd: READ %s\n"),
    site(
        "fs/nfsd/inode.c",
        50,
        "nfsd",
        "start_nfsd",
        "nfsd: SETATTR %s\n",
    ),
    site("drivers/usb/core/hub.c", 7, "usbcore", "hub_probe", "hub\n"),
    Site {
        class: Class { id: 2, name: None },
        ..site("drivers/gpu/drm/drm_crtc.c", 9, "drm", "set_crtc", "crtc\n")
    },
    site(
        "kernel/freezer.c",
        70,
        "freezer",
        "freeze_task",
        "readahead\n",
    ),
];

/// Returns the flags of all sites after `write`, or the first error, as text.
fn after(write: &str) -> Result<Vec<String>, String> {
    let mut write = write.as_bytes().to_vec();
    let mut flags = [Flags::NONE; SITES.len()];
    for query in queries(&mut write) {
        let query = Query::parse(query).map_err(|error| error.to_string())?;
        for (site, flags) in SITES.iter().zip(&mut flags) {
            let class = query.class_id([(2, &b"DRM_UT_KMS"[..])]);
            if class.is_some_and(|class| query.matches(class, site)) {
                *flags = query.change.apply(*flags);
            }
        }
    }
    Ok(flags.iter().map(Flags::to_string).collect())
}

/// Asserts that `write` leaves flags on the sites with these line numbers only.
#[track_caller]
fn selects(write: &str, lines: &[u32]) {
    let flags = after(write).unwrap();
    let found = SITES.iter().zip(flags).filter(|(_, flags)| flags != "_");
    let found: Vec<_> = found.map(|(site, _)| site.lineno).collect();
    assert_eq!(found, lines, "{write:?}");
}

#[test]
fn site_line_equals_the_documented_example() {
    let mut out = Vec::new();
    SITES[0].print(Flags::NONE, &mut |bytes| out.extend_from_slice(bytes));
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "init/main.c:1179 [main]initcall_blacklist =_ \"blacklisting initcall %s\\n\"\n"
    );
}

#[test]
fn extra_spaces_do_not_change_a_query() {
    for write in [
        "file svcsock.c line 1603 +p",
        "  file   svcsock.c     line  1603 +p  ",
        "file\tsvcsock.c\tline\t1603\t+p\n",
    ] {
        selects(write, &[1603]);
    }
}

#[test]
fn one_write_carries_out_several_queries() {
    selects("-p; module main func run* +p", &[1424]);
    selects("func svc_tcp_accept +p; func hub_probe +p", &[1603, 7]);
    selects("func svc_tcp_accept +p\nfunc hub_probe +p\n", &[1603, 7]);
    selects(
        "file init/* +p #cmt ; func start_nfsd +p",
        &[1179, 1424, 50],
    );
}

#[test]
fn func_query_selects_the_documented_sites() {
    selects("func svc_tcp_accept +p", &[1603]);
    selects("func *recv* +p", &[1606]);
    selects("func svc_tcp_accept +p; func svc_tcp_accept -p", &[]);
}

#[test]
fn file_query_selects_the_documented_sites() {
    selects("file svcsock.c +p", &[1603, 1606]);
    selects("file kernel/freezer.c +p", &[70]);
    selects("file drivers/usb/* +p", &[7]);
    selects("file *usb* +p", &[7]);
    selects("file inode.c:start_* +p", &[50]);
    selects("file inode.c:1-100 +p", &[50]);
    selects("file inode.c:1-49 +p", &[]);
}

#[test]
fn module_query_selects_the_documented_sites() {
    selects("module sunrpc +p", &[1603, 1606]);
    selects("module nfsd +p", &[100, 50]);
    selects("module nfs* +p", &[100, 50]);
}

#[test]
fn format_query_selects_the_documented_sites() {
    selects("format svcrdma: +p", &[1606]);
    selects("format readahead +p", &[70]);
    for value in [r"nfsd:\040SETATTR", "\"nfsd: SETATTR\"", "'nfsd: SETATTR'"] {
        selects(&format!("format {value} +p"), &[50]);
    }
    selects("format \"nfsd: READ\" +p", &[100]);
}

#[test]
fn class_query_selects_the_documented_sites() {
    selects("class DRM_UT_KMS +p", &[9]);
    selects("class JUNK +p", &[]);
    selects("class DRM_* +p", &[]);
    selects("module drm* +p", &[]);
}

#[test]
fn line_query_selects_the_documented_sites() {
    selects("line 1603 +p", &[1603]);
    selects("line 1600-1605 +p", &[1603]);
    selects("line -1605 +p", &[1179, 1424, 1603, 100, 50, 7, 70]);
    selects("line 1600- +p", &[1603, 1606]);
    let spaced = after("line 1 - 30 +p").unwrap_err();
    assert_eq!(spaced, "unknown keyword: \"-\"");
}

#[test]
fn flags_change_as_documented() {
    let added = after("module nfsd +p; +mf").unwrap();
    assert_eq!(
        added,
        ["mf", "mf", "mf", "mf", "pmf", "pmf", "mf", "_", "mf"]
    );
    selects("+pmfsltd; =_", &[]);
    selects("+pmfsltd; -fslmptd", &[]);
}

#[test]
fn flag_error_is_reported_before_a_keyword_error() {
    assert_eq!(after("mod bar +foo").unwrap_err(), "unknown flag: \"+foo\"");
    assert_eq!(
        after("mode foo +p").unwrap_err(),
        "unknown keyword: \"mode\""
    );
}
