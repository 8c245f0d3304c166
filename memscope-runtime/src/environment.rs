//! Settings from the environment: one table that is the parser and the documentation.
//!
//! A wrong value is reported on stderr, once, and the default is used. Code
//! ([`builder`](crate::builder), `report_guard`) wins over the environment. No other file reads
//! variables: a program that has more rights than its caller reads none here.

mod values;

use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
    time::Duration,
};

use crate::{
    config::Builder,
    model::{Limit, Stacks, human::cell},
    primitives::privileged::is_privileged,
    sampling::Timing,
};
use values::{bytes, duration, number, on_or_off, share, text};

/// All variables with this prefix are memscope's.
const PREFIX: &str = "MEMSCOPE_";
const SHORTEST: Duration = Duration::from_millis(100);
/// The collector's thread rests at least this long between two rounds.
const SHORTEST_SAMPLE: Duration = Duration::from_millis(10);

/// One variable: its row in the table of `docs/CONFIGURATION.md`, and its parser.
struct Setting {
    name: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with the documentation"))]
    takes: &'static str,
    default: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with the documentation"))]
    effect: &'static str,
    set: fn(&mut Environment, &OsStr) -> Result<(), String>,
}

const SETTINGS: [Setting; 18] = [
    Setting {
        name: "MEMSCOPE_REPORT",
        takes: "a path ending in `.json`, `.txt` or `.html` (feature `html`); `%p` becomes the process id, `%t` the time, `%n` a number",
        default: "no report",
        effect: "writes the report there at exit, on a panic, on SIGINT and SIGTERM",
        set: |environment, value| {
            environment.report = (!value.is_empty()).then(|| PathBuf::from(value));
            Ok(())
        },
    },
    Setting {
        name: "MEMSCOPE_REPORT_EVERY",
        takes: "a time such as `10s`, `500ms`, `5m` or `1h`",
        default: "never",
        effect: "writes the report that often as well",
        set: |environment, value| {
            environment.every = Some(duration(text(value)?, SHORTEST)?);
            Ok(())
        },
    },
    Setting {
        name: "MEMSCOPE_SERVE",
        takes: "an address such as `127.0.0.1:6071`",
        default: "no server",
        effect: "serves the page, profiles and metrics there, from the first task, the second thread or `init` on (feature `server`)",
        set: |environment, value| {
            let address = text(value)?;
            environment.serve = (!address.is_empty()).then(|| address.to_owned());
            Ok(())
        },
    },
    Setting {
        name: "MEMSCOPE_SERVE_TOKEN",
        takes: "a text",
        default: "no token",
        effect: "what each request to that server must bring: `Authorization: Bearer …`, or `?token=…`",
        set: |environment, value| {
            let token = text(value)?;
            environment.serve_token = (!token.is_empty()).then(|| token.to_owned());
            Ok(())
        },
    },
    Setting {
        name: "MEMSCOPE_SERVE_REMOTE",
        takes: "`on` or `off`",
        default: "`off`",
        effect: "whether that address may be another one than loopback",
        set: |environment, value| {
            environment.serves_remote = on_or_off(text(value)?)?;
            Ok(())
        },
    },
    Setting {
        name: "MEMSCOPE_TIMING",
        takes: "`off`, `sampled` or `every_task`",
        default: "`sampled`",
        effect: "which tasks and polls are timed: `Builder::timing`",
        set: |environment, value| {
            let timing = match text(value)? {
                "off" => Timing::Off,
                "sampled" => Timing::Sampled,
                "every_task" => Timing::EveryTask,
                _ => return Err("expected `off`, `sampled` or `every_task`".to_owned()),
            };
            environment.change(|builder| builder.timing(timing))
        },
    },
    Setting {
        name: "MEMSCOPE_UNANNOTATED",
        takes: "`on` or `off`",
        default: "`on`",
        effect: "whether unannotated Tokio tasks get rows: `Builder::unannotated`",
        set: |environment, value| {
            let yes = on_or_off(text(value)?)?;
            environment.change(|builder| builder.unannotated(yes))
        },
    },
    Setting {
        name: "MEMSCOPE_NAMES",
        takes: "`on` or `off`",
        default: "`on`",
        effect: "whether unannotated Tokio tasks are named by their futures: `Builder::name_tasks`",
        set: |environment, value| {
            let yes = on_or_off(text(value)?)?;
            environment.change(|builder| builder.name_tasks(yes))
        },
    },
    Setting {
        name: "MEMSCOPE_AWAIT_POINTS",
        takes: "`on` or `off`",
        default: "`off`",
        effect: "whether it is noted at which `.await` tasks wait (feature `layout`): `Builder::await_points`",
        set: |environment, value| {
            let yes = on_or_off(text(value)?)?;
            environment.change(|builder| builder.await_points(yes))
        },
    },
    Setting {
        name: "MEMSCOPE_HOLDERS",
        takes: "`on` or `off`",
        default: "`off`",
        effect: "whether blocks are listed, so that `heap_graph` says what holds them (Linux): `Builder::holders`",
        set: |environment, value| {
            let yes = on_or_off(text(value)?)?;
            environment.change(|builder| builder.holders(yes))
        },
    },
    Setting {
        name: "MEMSCOPE_DUMP_MEMORY",
        takes: "`on` or `off`",
        default: "`off`",
        effect: "whether a dump of tasks has memory of the program, so that its places can be read elsewhere (Linux): `Builder::dump_memory`",
        set: |environment, value| {
            let yes = on_or_off(text(value)?)?;
            environment.change(|builder| builder.dump_memory(yes))
        },
    },
    Setting {
        name: "MEMSCOPE_SAMPLE_EVERY",
        takes: "a time from `10ms` on, or `off`",
        default: "`1s`",
        effect: "how often the timeline gets a point, and how long events wait at most, from 100 ms down: `Builder::sample_every`; set, it starts that thread without `init`, as `MEMSCOPE_REPORT` does",
        set: |environment, value| {
            let period = match text(value)? {
                "off" => Duration::ZERO,
                time => duration(time, SHORTEST_SAMPLE)?,
            };
            environment.is_sampled = !period.is_zero();
            environment.change(|builder| builder.sample_every(period))
        },
    },
    Setting {
        name: "MEMSCOPE_STACKS",
        takes: "bytes such as `512KiB` or `2MiB`, or `off`",
        default: "`2MiB`",
        effect: "how often the call stack of an allocation is sampled, on average: `Builder::stacks`",
        set: |environment, value| {
            let stacks = match text(value)? {
                "off" => Stacks::Off,
                size => Stacks::EveryBytes(bytes(size, "off")?),
            };
            environment.change(|builder| builder.stacks(stacks))
        },
    },
    Setting {
        name: "MEMSCOPE_LIMIT",
        takes: "`cgroup`, or bytes such as `512MiB`",
        default: "`cgroup`",
        effect: "which limit of memory the process has: `Builder::memory_limit`",
        set: |environment, value| {
            let limit = match text(value)? {
                "cgroup" => Limit::Cgroup,
                size => Limit::Bytes(bytes(size, "cgroup")?),
            };
            environment.change(|builder| builder.memory_limit(limit))
        },
    },
    Setting {
        name: "MEMSCOPE_REPORT_AT",
        takes: "shares of the limit such as `90%` or `80%,90%,95%`, or `off`",
        default: "`80%,90%,95%`",
        effect: "writes the report when memory crosses one of them: `Builder::report_at`",
        set: |environment, value| {
            let shares = match text(value)? {
                "off" => Vec::new(),
                list => list.split(',').map(share).collect::<Result<_, _>>()?,
            };
            environment.change(|builder| builder.report_at(shares))
        },
    },
    Setting {
        name: "MEMSCOPE_ENDED_TASKS",
        takes: "1 to 1048576",
        default: "4096",
        effect: "how many ended tasks keep a row: `Builder::ended_tasks`",
        set: |environment, value| {
            let rows = number(value)?;
            environment.change(|builder| builder.ended_tasks(rows))
        },
    },
    Setting {
        name: "MEMSCOPE_SITE_ROWS",
        takes: "1 to 16384",
        default: "4096",
        effect: "how many sites get a row of their own: `Builder::site_rows`",
        set: |environment, value| {
            let rows = number(value)?;
            environment.change(|builder| builder.site_rows(rows))
        },
    },
    Setting {
        name: "MEMSCOPE_LIVE_VARIABLES",
        takes: "1 to 67108864",
        default: "262144",
        effect: "how many blocks of live variables are followed: `Builder::live_variables`",
        set: |environment, value| {
            let blocks = number(value)?;
            environment.change(|builder| builder.live_variables(blocks))
        },
    },
];

/// What the environment asks for. A setting is the default if the environment does not mention it,
/// or asks for something impossible.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    pub(crate) builder: Builder,
    /// As written in the variable: not yet absolute.
    pub(crate) report: Option<PathBuf>,
    pub(crate) every: Option<Duration>,
    /// The collector starts even if no code calls `init`.
    pub(crate) is_sampled: bool,
    /// The address of the server, as written in the variable.
    pub(crate) serve: Option<String>,
    pub(crate) serve_token: Option<String>,
    pub(crate) serves_remote: bool,
}

impl Environment {
    fn change(&mut self, change: impl FnOnce(Builder) -> Builder) -> Result<(), String> {
        let changed = change(self.builder.clone());
        changed.check().map_err(|error| error.to_string())?;
        self.builder = changed;
        Ok(())
    }

    /// What these variables ask for, and what is wrong with them.
    fn of(
        variables: impl Iterator<Item = (OsString, OsString)>,
        is_trusted: bool,
    ) -> (Self, Vec<String>) {
        let (mut environment, mut wrong) = (Self::default(), Vec::new());
        let mut variables = variables
            .filter(|(name, _)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
            .peekable();
        if !is_trusted && variables.peek().is_some() {
            wrong.push(format!(
                "this program runs with rights that its caller may not have (set-user-id or the like): no variable {PREFIX}* is \
                 read; use `builder()` and `report_guard()`"
            ));
            return (environment, wrong);
        }
        for (name, value) in variables {
            let name = name.to_string_lossy();
            let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
                let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
                let (name, names) = (cell(&name, 60), names.join(", "));
                wrong.push(format!("there is no setting {name}, only {names}"));
                continue;
            };
            if let Err(why) = (setting.set)(&mut environment, &value) {
                let (value, default) = (cell(&value.to_string_lossy(), 60), setting.default);
                wrong.push(format!("{name}={value} is left out: {why}; the default is {default}"));
            }
        }
        (environment, wrong)
    }
}

/// What the variables of this process ask for, and what is wrong with them. Wrong ones are left
/// out.
pub(crate) fn read() -> (Environment, Vec<String>) {
    Environment::of(env::vars_os(), !is_privileged())
}

/// The table as `docs/CONFIGURATION.md` shows it.
#[cfg(test)]
fn markdown() -> String {
    let mut table = "| variable | takes | default | what it does |\n|---|---|---|---|\n".to_owned();
    for Setting { name, takes, default, effect, .. } in SETTINGS {
        table.extend(["| `", name, "` | ", takes, " | ", default, " | ", effect, " |\n"]);
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(name: &str, value: &str) -> (Environment, Vec<String>) {
        Environment::of([(name.into(), value.into())].into_iter(), true)
    }

    #[test]
    fn no_variable_of_a_caller_with_fewer_rights_is_read() {
        let defaults = format!("{:?}", Environment::default());
        let all = SETTINGS.iter().map(|setting| (setting.name.into(), "1".into()));
        let (environment, wrong) = Environment::of(all, false);
        assert!(matches!(&*wrong, [one] if one.contains("no variable MEMSCOPE_*")), "{wrong:?}");
        assert_eq!(format!("{environment:?}"), defaults);
        let others = [("PATH".into(), "1".into())].into_iter();
        assert!(Environment::of(others, false).1.is_empty(), "nothing was asked for");
    }

    #[test]
    fn the_documentation_shows_this_table() {
        let page = include_str!("../../docs/CONFIGURATION.md");
        assert!(page.contains(&markdown()), "docs/CONFIGURATION.md must show\n\n{}", markdown());
    }

    #[test]
    fn the_defaults_in_the_table_are_the_defaults() {
        let defaults = format!("{:?}", Builder::default());
        for Setting { name, default, set, .. } in &SETTINGS[4..] {
            let mut environment = Environment::default();
            set(&mut environment, OsStr::new(default.trim_matches('`'))).expect("right");
            assert_eq!(format!("{:?}", environment.builder), defaults, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_names_the_variable_the_value_and_what_is_used_instead() {
        let cases = [
            ("MEMSCOPE_TIMING", "fast", "MEMSCOPE_TIMING=fast is left out: expected `off`"),
            ("MEMSCOPE_ENDED_TASKS", "-5", "expected a whole number; the default is 4096"),
            ("MEMSCOPE_ENDED_TASKS", "0", "expected a number from 1 to 1048576"),
            ("MEMSCOPE_SITE_ROWS", "99999999999999999999", "expected a whole number"),
            ("MEMSCOPE_LIVE_VARIABLES", "67108865", "from 1 to 67108864; the default is 262144"),
            ("MEMSCOPE_REPORT_EVERY", "soon", "`ms`, `s`, `m` or `h`; the default is never"),
            ("MEMSCOPE_SAMPLE_EVERY", "1ms", "expected 10ms to 366 days; the default is `1s`"),
            ("MEMSCOPE_REPROT", "x", "there is no setting MEMSCOPE_REPROT, only MEMSCOPE_REPORT,"),
        ];
        for (name, value, expected) in cases {
            let (environment, wrong) = read(name, value);
            assert!(matches!(&*wrong, [one] if one.contains(expected)), "{wrong:?}");
            assert_eq!(format!("{environment:?}"), format!("{:?}", Environment::default()));
        }
        let (environment, wrong) = read("MEMSCOPE_REPORT", "");
        assert!(environment.report.is_none() && wrong.is_empty(), "empty is unset");
        let (_, wrong) = read("OTHER_REPORT", "x");
        assert!(wrong.is_empty(), "what is not memscope's is left alone");
    }

    proptest! {
        #[test]
        fn any_value_is_taken_or_left_out_with_a_line_of_its_own(
            which in 0..SETTINGS.len(), value in "\\PC*|[0-9]{0,25}(ms|s|m|h)?|.*",
        ) {
            let (environment, wrong) = read(SETTINGS[which].name, &value);
            prop_assert!(wrong.len() <= 1);
            prop_assert!(wrong.iter().all(|wrong| !wrong.contains(char::is_control)));
            prop_assert!(environment.builder.check().is_ok());
        }

        #[test]
        fn any_name_is_ours_or_not(name in "(MEMSCOPE_)?\\PC*") {
            let (_, wrong) = read(&name, "1");
            prop_assert!(wrong.is_empty() || name.starts_with(PREFIX));
        }
    }
}
