//! Tests the whole view: draws it onto terminals of several sizes, and presses random keys.

use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Buffer,
    style::{Color, Modifier},
};
use serde_json::{Value, json};

use super::{
    draw::draw,
    feed::News,
    fixture::{empty, finding, report, shop, site, task},
    screen::Screen,
    theme::Theme,
    view::Asked,
};

pub(super) const FULL: Theme = Theme { is_coloured: true, is_unicode: true };

pub(super) fn screen(json: &Value) -> Screen {
    Screen::new("http://127.0.0.1:6071".to_owned(), report(json), false, Instant::now())
}

pub(super) fn drawn(screen: &mut Screen, size: (u16, u16), theme: Theme) -> Buffer {
    drawn_at(screen, size, theme, Instant::now())
}

fn drawn_at(screen: &mut Screen, size: (u16, u16), theme: Theme, now: Instant) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| draw(frame.buffer_mut(), screen, theme, now)).unwrap();
    terminal.backend().buffer().clone()
}

pub(super) fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let rows = buffer.content.chunks(width);
    let rows = rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>());
    rows.fold(String::new(), |text, row| text + row.trim_end() + "\n")
}

pub(super) fn press(screen: &mut Screen, keys: &str) {
    for key in keys.chars() {
        screen.press(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE));
    }
}

pub(super) fn press_code(screen: &mut Screen, code: KeyCode) -> Asked {
    screen.press(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn a_usual_terminal_shows_the_sums_the_findings_and_the_table() {
    let mut screen = screen(&shop());
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    for part in [
        "shop · pid 4242 · up 00:03:12 · exact",
        "● live",
        "205.0 MiB  80 % of 256.0 MiB limit (cgroup)",
        "124.0 MiB  97 % of max 128.0 MiB",
        "left by ended 60.0 MiB",
        "room 51.0 MiB",
        "GET /login",
        "retained 60.0 MiB in 1,600 ended tasks",
        "1 Sites 3",
        "LIVE ▼",
        "1 of 3 rows",
    ] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    assert!(shown.lines().all(|it| it.chars().count() <= 80));
}

#[test]
fn a_wide_terminal_shows_every_column_and_the_row_beside_the_table() {
    let mut screen = screen(&shop());
    let shown = text(&drawn(&mut screen, (200, 60), FULL));
    for part in ["src/shop.rs:84", "PEAK OF ONE", "ALLOCATED/s", "SPAWNED", "Where tasks wait"] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    press(&mut screen, "2");
    press_code(&mut screen, KeyCode::Enter);
    let shown = text(&drawn(&mut screen, (200, 60), FULL));
    for part in
        ["Await backtrace", "shop::db::query", "shop/src/db.rs:88", "keeps page", "NOT POLLED"]
    {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
}

#[test]
fn each_table_has_its_rows_or_says_why_it_has_none() {
    let mut of_shop = screen(&shop());
    let rows = [
        "POST /orders",
        "20.0 MiB",
        "Store::insert",
        "shop::db::query",
        "Enter asks",
        "SESSIONS",
        "1.2 KiB",
        "reaper",
    ];
    let mut of_none = screen(&empty());
    let reasons = [
        "No task has been tracked",
        "No task lives",
        "Call stacks",
        "No task waits",
        "Not asked yet",
        "track_var!",
        "No future",
        "No task has freed",
    ];
    for (key, (row, reason)) in ('1'..='8').zip(rows.into_iter().zip(reasons)) {
        press(&mut of_shop, &key.to_string());
        let shown = text(&drawn(&mut of_shop, (80, 24), FULL));
        assert!(shown.contains(row), "{key} {row}:\n{shown}");
        press(&mut of_none, &key.to_string());
        let shown = text(&drawn(&mut of_none, (80, 24), FULL));
        assert!(shown.contains(reason), "{key} {reason}:\n{shown}");
    }
}

#[test]
fn what_is_not_measured_is_no_zero() {
    let mut json = empty();
    json["measured"] = json!("not_installed");
    let shown = text(&drawn(&mut screen(&json), (80, 24), FULL));
    assert!(shown.contains("not measured: memscope's allocator"), "{shown}");
    assert!(!shown.contains("0 B"), "{shown}");
    let shown = text(&drawn(&mut screen(&empty()), (80, 24), FULL));
    assert!(shown.contains("not measured  no limit is known"), "{shown}");
    let mut json = shop();
    json["sites"][0]["measured"] = json!(false);
    let mut screen = screen(&json);
    press(&mut screen, "/login");
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    let row = shown.lines().find(|it| it.contains("GET /login") && it.contains(" – "));
    assert!(row.is_some(), "{shown}");
}

#[test]
fn numbers_are_whole_or_their_column_is_not_there() {
    let mut json = shop();
    json["sites"][0]["live_bytes"] = json!(u64::MAX);
    json["sites"][0]["name"] = json!("a::very::long::name::".repeat(20));
    for width in 32..120 {
        let shown = text(&drawn(&mut screen(&json), (width, 24), FULL));
        assert!(shown.contains("16.0 EiB"), "{width}:\n{shown}");
    }
}

#[test]
fn a_tiny_terminal_shows_how_much_is_used() {
    let shown = text(&drawn(&mut screen(&shop()), (10, 3), FULL));
    assert_eq!(shown, "205.0 MiB\n80 % of 2…\nlive\n");
    for size in [(0, 0), (1, 1), (2, 9), (31, 8), (32, 7), (32, 8), (500, 1)] {
        drawn(&mut screen(&shop()), size, FULL);
    }
}

#[test]
fn a_terminal_without_unicode_gets_ascii_alone() {
    let theme = Theme { is_unicode: false, ..FULL };
    let mut json = shop();
    json["sites"][1]["name"] = json!("größe 日本 🦀");
    let mut screen = screen(&json);
    for key in "1b2b3v48c?f".chars() {
        press(&mut screen, &key.to_string());
        for size in [(80, 24), (200, 60), (10, 3)] {
            let shown = text(&drawn(&mut screen, size, theme));
            assert!(shown.is_ascii(), "{key}:\n{shown}");
        }
    }
}

#[test]
fn without_colour_there_is_none_and_the_chosen_row_is_still_seen() {
    let theme = Theme { is_coloured: false, ..FULL };
    let buffer = drawn(&mut screen(&shop()), (80, 24), theme);
    let is_plain = |it: &ratatui::buffer::Cell| it.fg == Color::Reset && it.bg == Color::Reset;
    assert!(buffer.content.iter().all(is_plain));
    assert!(buffer.content.iter().any(|it| it.modifier.contains(Modifier::REVERSED)));
    // Parts of the bar are told apart by their characters.
    let shown = text(&buffer);
    assert!(shown.contains('▓') && shown.contains('░') && shown.contains('·'), "{shown}");
    let coloured = drawn(&mut screen(&shop()), (80, 24), FULL);
    assert!(!coloured.content.iter().all(is_plain));
}

#[test]
fn hostile_names_move_nothing() {
    let hostile = "\u{1b}[2J\u{1b}]0;x\u{7}\u{202e}evil\u{0}\r\n\t\u{85}\u{200b}".to_owned();
    for name in [hostile, "x".repeat(20_000), "مرحبا".to_owned(), "e\u{301}".repeat(99)] {
        let mut json = shop();
        for list in ["sites", "tasks", "variable_sites"] {
            for row in json[list].as_array_mut().unwrap() {
                row["name"] = json!(name);
            }
        }
        json["sites"][0]["file"] = json!(name);
        json["await_points"][0]["frames"][0]["function"] = json!(name);
        json["stacks"][0]["frames"][0]["function"] = json!(name);
        json["leaks"]["findings"] = json!([finding(&name, 7)]);
        json["program"]["path"] = json!(name);
        let mut screen = screen(&json);
        for key in "1b2bb33v46c78f?".chars() {
            press(&mut screen, &key.to_string());
            press_code(&mut screen, KeyCode::Enter);
            for size in [(80, 24), (200, 60), (33, 9)] {
                let buffer = drawn(&mut screen, size, FULL);
                let shown = text(&buffer);
                let is_bad = |it: char| it != '\n' && (it.is_control() || it == '\u{202e}');
                assert!(!shown.chars().any(is_bad), "{shown:?}");
                assert_eq!(buffer.area.width, size.0);
            }
            press_code(&mut screen, KeyCode::Esc);
        }
    }
}

#[test]
fn old_figures_are_marked_and_new_ones_are_not() {
    let mut screen = screen(&shop());
    let later = Instant::now() + Duration::from_secs(12);
    let shown = text(&drawn_at(&mut screen, (80, 24), FULL, later));
    assert!(shown.contains("stalled, 12 s old"), "{shown}");
    screen.take(News::Failed("connection refused".to_owned()), Instant::now());
    let buffer = drawn_at(&mut screen, (80, 24), FULL, later);
    let shown = text(&buffer);
    assert!(shown.contains("no connection, 12 s old") && shown.contains("refused"), "{shown}");
    let dim = buffer.content.iter().filter(|it| it.modifier.contains(Modifier::DIM)).count();
    assert!(dim > 80 * 10, "what is old stands back");
    let small = text(&drawn_at(&mut screen, (40, 3), FULL, later));
    assert!(small.starts_with("no connection, 12 s old"), "{small}");
    let mut json = shop();
    json["origin"]["pid"] = json!(4_243);
    screen.take(News::Report(report(&json)), later);
    let shown = text(&drawn_at(&mut screen, (80, 24), FULL, later));
    assert!(shown.contains("● live"), "{shown}");
    assert!(shown.contains("restarted: pid 4242 before, 4243 now"), "{shown}");
}

#[test]
fn a_chosen_row_is_followed_and_an_open_one_that_ends_is_kept_and_said() {
    let mut screen = screen(&shop());
    press(&mut screen, "2j");
    let chosen = |screen: &Screen| screen.table.rows[screen.view.now().at].key.clone();
    assert_eq!(chosen(&screen), "task:7", "the smaller of the two");
    let mut json = shop();
    json["tasks"][0]["live_bytes"] = json!(90 << 20);
    screen.take(News::Report(report(&json)), Instant::now());
    assert_eq!((chosen(&screen), screen.view.now().at), ("task:7".to_owned(), 0));
    press_code(&mut screen, KeyCode::Enter);
    json["tasks"] = json!([task(8, "POST /orders", 1)]);
    screen.take(News::Report(report(&json)), Instant::now());
    let shown = text(&drawn(&mut screen, (80, 24), FULL));
    assert!(shown.contains("It has ended") && shown.contains("90.0 MiB"), "{shown}");
}

#[test]
fn keys_filter_sort_and_invert() {
    let mut screen = screen(&shop());
    let names = |screen: &Screen| -> Vec<String> {
        screen.table.rows.iter().map(|it| it.values[0].shown()).collect()
    };
    assert_eq!(names(&screen), ["GET /login", "POST /orders", "reaper"]);
    press(&mut screen, "i");
    assert_eq!(names(&screen), ["reaper", "POST /orders", "GET /login"]);
    press(&mut screen, "sss");
    assert_eq!(names(&screen)[0], "GET /login", "by what tasks have left");
    press(&mut screen, "/ORD");
    assert_eq!(names(&screen), ["POST /orders"]);
    press(&mut screen, "[");
    assert!(screen.is_bad_filter);
    assert_eq!(names(&screen).len(), 3, "nothing is filtered");
    press_code(&mut screen, KeyCode::Esc);
    press(&mut screen, "G");
    assert_eq!(screen.view.now().at, 2);
    press(&mut screen, "g");
    assert_eq!(screen.view.now().at, 0);
    assert_eq!(screen.press(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE)), Asked::Quit);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(screen.press(control_c), Asked::Quit);
}

#[test]
fn a_saved_report_is_not_asked_for_holders_and_a_process_is() {
    let mut live = screen(&shop());
    press(&mut live, "5");
    assert_eq!(press_code(&mut live, KeyCode::Enter), Asked::Holders);
    let graph = json!({
        "pause_ns": 1, "taken_ns": 2, "blocks": 3, "bytes": 100,
        "roots": [{ "name": "SESSIONS", "kind": "static", "retained_bytes": 90,
                    "reachable_bytes": 95, "blocks": 2 }],
        "unreachable": [{ "bytes": 10, "blocks": 1, "in_cycle": true }],
    });
    let graph = serde_json::from_value(graph).unwrap();
    live.take(News::Holders(Ok(Box::new(graph))), Instant::now());
    let shown = text(&drawn(&mut live, (80, 24), FULL));
    assert!(shown.contains("SESSIONS") && shown.contains("unreachable"), "{shown}");
    live.take(News::Holders(Err("off.".to_owned())), Instant::now());
    let shown = text(&drawn(&mut live, (80, 24), FULL));
    assert!(shown.contains("off. MEMSCOPE_HOLDERS=on"), "{shown}");
    let mut saved = Screen::new("a.json".to_owned(), report(&shop()), true, Instant::now());
    press(&mut saved, "5");
    assert_eq!(press_code(&mut saved, KeyCode::Enter), Asked::Nothing);
    let shown = text(&drawn(&mut saved, (80, 24), FULL));
    assert!(shown.contains("Not measured: MEMSCOPE_HOLDERS=on"), "{shown}");
}

fn any_report() -> impl Strategy<Value = Value> {
    let number = prop_oneof![Just(0_u64), Just(u64::MAX), 0_u64..1 << 40];
    let name = prop_oneof!["\\PC{0,30}", "[a-z]{1,8}(::[a-z<>]{1,9}){0,5}", ".{0,6}"];
    let rows = proptest::collection::vec((name, number.clone(), number.clone()), 0..40);
    (rows, number.clone(), number, any::<bool>(), any::<bool>()).prop_map(
        |(rows, whole, limit, is_measured, is_on)| {
            let mut json = shop();
            let sites = rows.iter().zip(1..).map(|((name, live, left), line)| {
                let mut site = site(name, line, *live, *left);
                site["measured"] = json!(is_measured);
                site["spawned"] = json!(left);
                site
            });
            json["sites"] = sites.collect();
            let tasks = rows.iter().zip(1..).map(|((name, live, idle), id)| {
                let mut task = task(id, name, *live);
                task["idle_ns"] = json!(idle);
                task["await_point"] = json!(id % 3);
                task["parent"] = if id > 1 { json!(id - 1) } else { Value::Null };
                task
            });
            json["tasks"] = tasks.collect();
            let stacks = rows.iter().map(|(name, live, all)| {
                json!({ "frames": [{ "function": name, "address": 1 },
                                   { "function": "shop::login", "address": 2 }],
                        "is_cut": false, "is_untracked": false, "site": 0, "task": null,
                        "live_bytes": live, "allocated_bytes": all, "live_samples": 1,
                        "samples": 2 })
            });
            json["stacks"] = stacks.collect();
            let findings = rows.iter().take(9).map(|(name, bytes, _)| finding(name, *bytes));
            json["leaks"]["findings"] = findings.collect();
            json["process"]["whole_bytes"] = json!(whole);
            json["process"]["untracked_bytes"] = json!(limit);
            json["resident"]["limit_bytes"] = json!(limit);
            json["resident"]["resident_bytes"] = if is_on { json!(whole) } else { Value::Null };
            json["observed_ns"] = json!(whole);
            json["timeline"]["process"] = rows
                .iter()
                .map(|(_, at, bytes)| {
                    json!({ "at_ns": at, "tracked_bytes": bytes, "untracked_bytes": 0,
                            "whole_bytes": bytes })
                })
                .collect();
            json
        },
    )
}

fn any_key() -> impl Strategy<Value = KeyEvent> {
    let code = prop_oneof![
        8 => proptest::char::range(' ', '~').prop_map(KeyCode::Char),
        8 => proptest::sample::select("jkgG/sir f?12345678bcvvaexhl3".chars().collect::<Vec<_>>())
            .prop_map(KeyCode::Char),
        2 => any::<char>().prop_map(KeyCode::Char),
        6 => proptest::sample::select(vec![
            KeyCode::Enter, KeyCode::Esc, KeyCode::Up, KeyCode::Down, KeyCode::PageUp,
            KeyCode::PageDown, KeyCode::Home, KeyCode::End, KeyCode::Tab, KeyCode::BackTab,
            KeyCode::Backspace, KeyCode::Left, KeyCode::Right, KeyCode::Delete, KeyCode::F(3),
        ]),
    ];
    code.prop_map(|it| KeyEvent::new(it, KeyModifiers::NONE))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn no_keys_on_no_report_make_it_panic(
        first in any_report(),
        second in any_report(),
        keys in proptest::collection::vec(any_key(), 0..40),
        size in (0_u16..220, 0_u16..70),
        is_coloured: bool,
        is_unicode: bool,
    ) {
        let theme = Theme { is_coloured, is_unicode };
        let mut screen = screen(&first);
        let half = keys.len() / 2;
        for (at, key) in keys.into_iter().enumerate() {
            if at == half {
                screen.take(News::Report(report(&second)), Instant::now());
            }
            screen.press(key);
            if at % 4 == 0 {
                drawn(&mut screen, size, theme);
            }
        }
        let buffer = drawn(&mut screen, size, theme);
        prop_assert!(is_unicode || text(&buffer).is_ascii());
    }
}
