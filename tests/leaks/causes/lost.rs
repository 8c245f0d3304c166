//! Services that give up blocks without a free, and nothing leads to these any more.

use std::{hint::black_box, mem};

use memscope_rs::analysis::Leaks;
use tokio::task::yield_now;

use crate::service::{Mode, faults, judge, rounds};

faults! {
    LOST in "lost", Mode::ALL;

    forgotten: "requests each of which forgets a box", Retained at "request", Unknown | Lost: "`mem::forget`", "nothing";
    given_up: "requests each of which makes a raw pointer and drops it", Retained at "request", Unknown | Lost: "`into_raw`", "nothing";
}

async fn forgotten(mode: Mode) -> Leaks {
    async fn request(number: u8) {
        let page = black_box(Box::new([number; 1_000]));
        yield_now().await;
        mem::forget(page);
    }
    rounds(async |_| {
        for number in 0..20 {
            mode.spawn("request", request(number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn given_up(mode: Mode) -> Leaks {
    async fn request(number: u8) {
        let page = vec![number; 1_000].into_boxed_slice();
        yield_now().await;
        black_box(Box::into_raw(page).is_null());
    }
    rounds(async |_| {
        for number in 0..20 {
            mode.spawn("request", request(number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}
