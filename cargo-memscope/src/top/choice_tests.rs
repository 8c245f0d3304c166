//! Tests groups, comparing with a moment, and the icicle, as they are drawn.

use std::time::Instant;

use crossterm::event::KeyCode;
use ratatui::{
    buffer::{Buffer, Cell},
    style::Color,
};
use serde_json::{Value as Json, json};

use super::{
    feed::News,
    fixture::{report, shop, site, task},
    screen::Screen,
    table::Value,
    tests::{FULL, drawn, press, press_code, screen, text},
    theme::Theme,
};

const MIB: u64 = 1 << 20;

fn take(screen: &mut Screen, json: &Json) {
    screen.take(News::Report(report(json)), Instant::now());
}

fn line<'a>(shown: &'a str, part: &str) -> &'a str {
    shown.lines().find(|it| it.contains(part)).unwrap_or_else(|| panic!("{part}:\n{shown}"))
}

/// The last value of the row with this key.
fn last(screen: &Screen, key: &str) -> Value {
    let row = screen.table.rows.iter().find(|it| it.key.starts_with(key)).unwrap();
    row.values.last().unwrap().clone()
}

/// The shop with two sites of another crate.
fn with_hyper() -> Json {
    let mut json = shop();
    for (name, bytes) in [("hyper::server::serve", 3 * MIB), ("hyper::client::send", MIB + 1)] {
        let mut site = site(name, 9, bytes, 0);
        site["is_annotated"] = json!(false);
        site["file"] = json!("");
        site["task_type"] = json!("mixed");
        json["sites"].as_array_mut().unwrap().push(site);
    }
    json
}

#[test]
fn groups_have_the_sums_of_the_rows_that_the_filter_keeps() {
    let mut screen = screen(&with_hyper());
    press(&mut screen, "b");
    let sum = |screen: &Screen, key: &str| {
        screen.table.rows.iter().find(|it| it.key == key).unwrap().values[2].clone()
    };
    assert_eq!(sum(&screen, "group:hyper"), Value::Bytes(4 * MIB + 1));
    assert_eq!(sum(&screen, "group:shop"), Value::Bytes(104 * MIB + 300));
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    assert!(line(&shown, "▾ hyper (2)").contains("4.0 MiB"), "{shown}");
    assert!(line(&shown, "▾ shop (3)").contains("104.0 MiB"), "{shown}");
    assert!(shown.contains("of 5 rows, by crate"), "{shown}");
    press(&mut screen, "/client");
    assert_eq!(sum(&screen, "group:hyper"), Value::Bytes(MIB + 1));
    assert_eq!(screen.table.rows.len(), 2, "a group and its row");
    press_code(&mut screen, KeyCode::Esc);
    press(&mut screen, "b");
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    assert!(shown.contains("▾ src/shop.rs (3)") && shown.contains("▾ (not annotated)"), "{shown}");
    press(&mut screen, "b");
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    assert!(shown.contains("by task type") && shown.contains("▾ mixed (2)"), "{shown}");
    press(&mut screen, "b");
    assert!(!text(&drawn(&mut screen, (80, 24), FULL)).contains("▾"));
}

#[test]
fn a_group_is_folded_and_opened_and_its_rows_are_still_counted() {
    let mut screen = screen(&with_hyper());
    press(&mut screen, "bg");
    assert_eq!(screen.table.rows[0].key, "group:shop", "the largest group comes first");
    press_code(&mut screen, KeyCode::Enter);
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    assert!(shown.contains("▸ shop (3)") && !shown.contains("POST /orders"), "{shown}");
    assert!(shown.contains("of 5 rows") && !shown.contains("filtered out"), "{shown}");
    press_code(&mut screen, KeyCode::Enter);
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    assert!(shown.contains("▾ shop (3)") && shown.contains("POST /orders"), "{shown}");
    press(&mut screen, "j");
    press_code(&mut screen, KeyCode::Enter);
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    assert!(shown.contains("Peak of one task"), "a row of a group is opened:\n{shown}");
}

#[test]
fn a_sum_with_an_unknown_part_is_not_known() {
    let mut json = with_hyper();
    json["sites"][3]["measured"] = json!(false);
    let mut screen = screen(&json);
    press(&mut screen, "b");
    let group = screen.table.rows.iter().find(|it| it.key == "group:hyper").unwrap();
    assert_eq!(group.values[2], Value::Unknown);
}

#[test]
fn tasks_variables_and_awaits_are_grouped_as_on_the_page() {
    let mut screen = screen(&shop());
    for (keys, part) in [
        ("2b", "▾ GET /login src/shop.rs:84 (1)"),
        ("b", "▾ idle (2)"),
        ("b", "▾ shop/src/db.rs:88 (2)"),
        ("6b", "▾ src/shop.rs (1)"),
        ("b", "▾ HashMap<u64, Session> (1)"),
    ] {
        press(&mut screen, keys);
        let shown = text(&drawn(&mut screen, (200, 60), FULL));
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    press(&mut screen, "4");
    assert!(screen.table.rows[0].key.ends_with("shop::login::{async_fn} shop/src/db.rs:84"));
    press(&mut screen, "b");
    assert!(screen.table.rows[0].key.ends_with("shop::db::query shop/src/db.rs:88"), "leaf first");
}

#[test]
fn comparing_tells_to_the_byte_what_rows_hold_more_and_ends() {
    let mut screen = screen(&shop());
    press(&mut screen, "c");
    assert_eq!(last(&screen, "site:GET /login"), Value::Change(0));
    let mut json = shop();
    json["observed_ns"] = json!(204_000_000_000_u64);
    json["sites"] = json!([
        site("GET /login", 84, 65 * MIB + 1, 0),
        site("POST /orders", 120, 40 * MIB - 7, 0),
        site("new", 1, 5, 0),
    ]);
    json["process"]["whole_bytes"] = json!(125 * MIB);
    take(&mut screen, &json);
    assert_eq!(last(&screen, "site:GET /login"), Value::Change(1_048_577));
    assert_eq!(last(&screen, "site:POST /orders"), Value::Change(-7));
    assert_eq!(last(&screen, "site:new"), Value::Change(5), "it was not there");
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    assert!(shown.contains("Δ LIVE"), "{shown}");
    assert!(line(&shown, "POST /orders").trim_end().ends_with("-7 B"), "{shown}");
    let words = line(&shown, "Compared with 12 s ago");
    assert!(words.contains("live +1023.7 KiB; 1 row is gone that held 300 B"), "{words}");
    press_code(&mut screen, KeyCode::Enter);
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    assert!(shown.contains("+1,048,577 B"), "{shown}");
    press_code(&mut screen, KeyCode::Esc);
    press(&mut screen, "ssssssssi");
    press(&mut screen, "c");
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    assert!(!shown.contains('Δ') && !shown.contains("Compared"), "{shown}");
    press(&mut screen, "c");
    press_code(&mut screen, KeyCode::Esc);
    assert!(screen.compared.is_none(), "Esc ends it as well");
}

#[test]
fn what_was_not_sent_then_is_no_zero() {
    let mut json = shop();
    json["left_out"] = json!({ "tasks": 3 });
    let mut screen = screen(&json);
    press(&mut screen, "2c");
    json["tasks"].as_array_mut().unwrap().push(task(3, "old", 99));
    take(&mut screen, &json);
    assert_eq!(last(&screen, "task:3"), Value::Unknown);
    assert_eq!(last(&screen, "task:7"), Value::Change(0));
}

#[test]
fn another_process_is_not_compared_and_a_saved_report_is_not_either() {
    let mut live = screen(&shop());
    press(&mut live, "c");
    let mut json = shop();
    json["origin"]["pid"] = json!(4_243);
    take(&mut live, &json);
    assert!(live.compared.is_none());
    let mut saved = Screen::new("a.json".to_owned(), report(&shop()), true, Instant::now());
    press(&mut saved, "c");
    let shown = text(&drawn(&mut saved, (80, 24), FULL));
    assert!(shown.contains("cargo memscope diff") && saved.compared.is_none(), "{shown}");
}

/// The shop with 30 MiB of its own code, and 10 MiB of a library below `shop::login`.
fn with_stacks() -> Json {
    let mut json = shop();
    let frame = |function: &str| {
        let file = if function.starts_with("shop") { "src/shop.rs" } else { "" };
        json!({ "function": function, "file": file, "line": 5, "address": 4_096 })
    };
    let stack = |names: &[&str], live: u64, all: u64| {
        let frames: Vec<Json> = names.iter().map(|it| frame(it)).collect();
        json!({ "frames": frames, "is_cut": false, "is_untracked": false, "site": 0, "task": null,
                "live_bytes": live, "allocated_bytes": all, "live_samples": live / MIB,
                "samples": all / MIB })
    };
    json["stacks"] = json!([
        stack(&["shop::store::insert", "shop::login", "tokio::run"], 30 * MIB, 31 * MIB),
        stack(&["serde::parse", "shop::login", "tokio::run"], 10 * MIB, 90 * MIB),
        stack(&["serde::gone", "shop::login"], 0, 7 * MIB),
    ]);
    json
}

/// Returns the width of each box in the line that has this text.
fn boxes(buffer: &Buffer, part: &str) -> Vec<usize> {
    let shown = text(buffer);
    let line: Vec<char> = line(&shown, part).chars().collect();
    let from = line.iter().enumerate().filter(|it| "│|".contains(*it.1)).map(|it| it.0);
    let from: Vec<usize> = from.chain([line.len()]).collect();
    from.windows(2).map(|it| it[1] - it[0]).collect()
}

#[test]
fn the_width_of_a_box_is_its_share() {
    let mut screen = screen(&with_stacks());
    press(&mut screen, "3v");
    let buffer = drawn(&mut screen, (80, 24), FULL);
    let shown = text(&buffer);
    assert_eq!(boxes(&buffer, "│store::insert"), [60, 20], "{shown}");
    assert_eq!(boxes(&buffer, "│shop::login"), [80], "{shown}");
    assert!(shown.contains("≈ 40.0 MiB live, 40 samples"), "{shown}");
    assert!(!shown.contains("│tokio::run"), "frames of executors are folded:\n{shown}");
    let tall = text(&drawn(&mut screen, (200, 60), FULL));
    assert!(tall.contains("WITH CALLEES"), "the table stands below where there is room:\n{tall}");
    press(&mut screen, "e");
    assert!(text(&drawn(&mut screen, (80, 24), FULL)).contains("│tokio::run"));
    press(&mut screen, "ea");
    let buffer = drawn(&mut screen, (80, 24), FULL);
    let shown = text(&buffer);
    assert_eq!(boxes(&buffer, "│store::insert")[1], 80 * 121 / 128 - 80 * 90 / 128, "{shown}");
    assert!(shown.contains("≈ 128.0 MiB allocated, 128 samples"), "{shown}");
}

#[test]
fn own_code_is_seen_with_and_without_colour_and_unicode() {
    let mut screen = screen(&with_stacks());
    press(&mut screen, "3v");
    let of = |buffer: &Buffer, part: &str| -> Cell {
        let shown = text(buffer);
        let y = shown.lines().position(|it| it.contains(part)).unwrap();
        let x = shown.lines().nth(y).unwrap().find(part).unwrap();
        let x = shown.lines().nth(y).unwrap()[..x].chars().count();
        buffer[(u16::try_from(x).unwrap() + 1, u16::try_from(y).unwrap())].clone()
    };
    let buffer = drawn(&mut screen, (80, 24), FULL);
    assert_eq!(of(&buffer, "│store::insert").fg, Color::Blue);
    assert_eq!(of(&buffer, "│serde::parse").fg, Color::Reset);
    let plain = Theme { is_coloured: false, is_unicode: false };
    let shown = text(&drawn(&mut screen, (80, 24), plain));
    assert!(shown.is_ascii(), "{shown}");
    let line = line(&shown, "|store::insert");
    assert!(line.contains("|store::insert =") && line.contains("|serde::parse -"), "{shown}");
    for size in [(32, 8), (10, 3), (200, 60)] {
        drawn(&mut screen, size, plain);
    }
}

#[test]
fn a_box_is_looked_through_and_back_and_its_table_agrees() {
    let mut screen = screen(&with_stacks());
    press(&mut screen, "3vjjjl");
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    assert!(
        line(&shown, "serde::parse  ≈ 10.0 MiB, 10 samples, 25 %").contains("parse"),
        "{shown}"
    );
    press_code(&mut screen, KeyCode::Enter);
    let buffer = drawn(&mut screen, (80, 24), FULL);
    let shown = text(&buffer);
    assert_eq!(boxes(&buffer, "│serde::parse"), [80], "{shown}");
    assert!(shown.contains("│shop::login") && !shown.contains("│store::insert"), "{shown}");
    press(&mut screen, "v");
    let names: Vec<String> = screen.table.rows.iter().map(|it| it.values[0].shown()).collect();
    assert_eq!(names, ["serde::parse", "shop::login", "tokio::run"]);
    assert_eq!(screen.table.rows[1].values[3], Value::AboutBytes(10 * MIB));
    press(&mut screen, "v");
    press_code(&mut screen, KeyCode::Esc);
    assert_eq!(boxes(&drawn(&mut screen, (80, 24), FULL), "│store::insert"), [60, 20]);
    press(&mut screen, "x");
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    assert!(shown.contains("≈ 30.0 MiB live") && shown.contains("1 frame hidden"), "{shown}");
    assert!(!shown.contains("│serde::parse"), "{shown}");
    press_code(&mut screen, KeyCode::Esc);
    press(&mut screen, "/serde");
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    assert!(shown.contains("the filter matches 25 %"), "{shown}");
}
