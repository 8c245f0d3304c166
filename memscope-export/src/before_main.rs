//! `MEMSCOPE_REPORT=report.html`: the page is registered before `main`.

use memscope_runtime::__page::{WritePage, register};

use crate::html::write_html;

static WRITE: WritePage = write_html;

extern "C" fn before_main() {
    register(&WRITE);
}

// On Linux the function runs before memscope reads its settings and warns of reports that it cannot
// write. It writes one atomic.
memscope_runtime::__before_main!(".init_array.00099", before_main);
