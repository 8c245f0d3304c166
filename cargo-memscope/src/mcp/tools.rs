//! The tools: their names, descriptions and arguments.

use std::sync::Arc;

use rmcp::{
    handler::server::tool::schema_for_input,
    model::{JsonObject, Tool, ToolAnnotations},
    schemars::JsonSchema,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{holders, quote::quoted, schema::short, stacks, subject, waits};
use crate::error::Error;

/// Defines the arguments of tools, and adds those for paging, which all tools have.
macro_rules! arguments {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$attribute:meta])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(crate = "rmcp::schemars")]
        pub(super) struct $name {
            $($(#[$attribute])* pub(super) $field: $type,)*
            /// `next_cursor` of the answer before: goes on in its snapshot.
            #[serde(default)]
            #[expect(dead_code, reason = "read before, of all tools")]
            pub(super) cursor: Option<String>,
            /// Of the answer: 3500 to 1000000, else 4000.
            #[serde(default)]
            #[expect(dead_code, reason = "read before, of all tools")]
            pub(super) max_bytes: Option<u64>,
        }
    )*};
}

arguments! {
    /// Arguments of `verdict`.
    Verdict {
        /// Also say what holds the bytes: needs `MEMSCOPE_HOLDERS=on`, and the program stands
        /// still for some ms.
        #[serde(default)]
        holders: bool,
    }
    /// Arguments of `largest_holders`.
    Holders {
        /// Which table.
        #[serde(default)]
        by: holders::By,
    }
    /// Arguments of `why_growing`.
    Growing {
        /// A name as answers have it, or `name (file:line)` of a site; `#7` for a task; `process`
        /// (if left out), or `(outside of tasks)`.
        #[serde(default)]
        name: Option<String>,
        /// What the name is of, if that is not clear.
        #[serde(default)]
        kind: Option<subject::Kind>,
    }
    /// Arguments of `where_tasks_wait`.
    Waits {
        /// Which tasks.
        #[serde(default)]
        of: waits::Of,
        /// Of `hung_tasks`: only those not polled for so long.
        #[serde(default)]
        idle_seconds: u32,
    }
    /// Arguments of `stacks_of_site`.
    Stacks {
        /// Its name, `name (file:line)`, or `(outside of tasks)`.
        site: String,
        /// Which bytes.
        #[serde(default)]
        of: stacks::Of,
    }
    /// Arguments of `remember`.
    Remember {
        /// Such as `before load`.
        name: String,
    }
    /// Arguments of `compare`.
    Compare {
        /// A name of `remember`, the number of a recent snapshot, the path of a saved report, or
        /// `first` of this server (if left out).
        #[serde(default)]
        then: Option<String>,
    }
    /// Arguments of `futures`.
    Futures {
        /// Its path; if left out, the program of the snapshot.
        #[serde(default)]
        program: Option<String>,
        /// Part of their names.
        #[serde(default)]
        filter: Option<String>,
        /// Those of dependencies and `std` as well.
        #[serde(default)]
        all: bool,
    }
}

/// A tool as it is described to a client.
struct About {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    schema: fn() -> Result<Arc<JsonObject>, String>,
}

const TOOLS: [About; 8] = [
    About {
        name: "verdict",
        title: "What looks lost",
        description: "Start here. What looks lost or keeps growing: bytes, file and line, how sure \
            and why, what holds them, evidence, cure; then what could not be judged, and why.",
        schema: schema_for_input::<Verdict>,
    },
    About {
        name: "largest_holders",
        title: "What has the most memory",
        description: "What has the most live bytes now, the largest first. Sizes are exact, but \
            those of stacks are estimates.",
        schema: schema_for_input::<Holders>,
    },
    About {
        name: "why_growing",
        title: "Why something grows",
        description: "All about one site, task, variable, shared owner or function: findings and \
            cures, the course of its bytes, code that allocates, variables, where its tasks wait, \
            what frees for it. Of the process: what rose most.",
        schema: schema_for_input::<Growing>,
    },
    About {
        name: "where_tasks_wait",
        title: "Where tasks wait",
        description: "At which `.await` (file and line) tasks wait, how many, with how many bytes, \
            and how long.",
        schema: schema_for_input::<Waits>,
    },
    About {
        name: "stacks_of_site",
        title: "Which code allocates",
        description: "Call stacks that allocated what a site's tasks hold, with files and lines. \
            Bytes are estimates, and say from how many samples.",
        schema: schema_for_input::<Stacks>,
    },
    About {
        name: "remember",
        title: "Keep the state of now",
        description: "Keeps a snapshot of now under a name in this server, for `compare`. The \
            program is not changed.",
        schema: schema_for_input::<Remember>,
    },
    About {
        name: "compare",
        title: "What changed since then",
        description: "What changed since an earlier snapshot, by site, variable and call stack: the \
            largest growth of live bytes first.",
        schema: schema_for_input::<Compare>,
    },
    About {
        name: "futures",
        title: "Which futures are large",
        description: "The largest futures of a program, what makes them large, and what to change, \
            with files and lines, from debug information. It need not run.",
        schema: schema_for_input::<Futures>,
    },
];

/// The names of all tools.
pub(super) fn names() -> Vec<&'static str> {
    TOOLS.iter().map(|it| it.name).collect()
}

/// Returns all tools as a client gets them. No tool changes the program or a file.
pub(super) fn all() -> Vec<Tool> {
    let tool = |about: &About| {
        let annotations = ToolAnnotations::with_title(about.title).read_only(true);
        let schema = Arc::new(short(&(about.schema)().unwrap_or_default()));
        Tool::new(about.name, about.description, schema).with_annotations(annotations)
    };
    TOOLS.iter().map(tool).collect()
}

/// Reads the arguments of a tool. The error names the valid arguments.
pub(super) fn read<T: DeserializeOwned>(arguments: &JsonObject) -> Result<T, Error> {
    serde_json::from_value(Value::Object(arguments.clone())).map_err(|error| {
        let error = error.to_string();
        let error = error.replace("unknown field", "unknown argument");
        let error = error.replace("missing field", "missing argument");
        let error = error.replace("unknown variant", "unknown value");
        Error::new(format!("wrong arguments: {}", quoted(&error, 700)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error<T: DeserializeOwned + std::fmt::Debug>(arguments: &Value) -> String {
        read::<T>(arguments.as_object().unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn each_tool_says_what_it_takes_and_that_it_only_reads() {
        let tools = all();
        assert_eq!(tools.len(), names().len());
        for tool in tools {
            let annotations = tool.annotations.as_ref().unwrap();
            assert_eq!(annotations.read_only_hint, Some(true), "{}", tool.name);
            assert_eq!(tool.input_schema["type"], "object", "{}", tool.name);
            let arguments = tool.input_schema["properties"].as_object().unwrap();
            assert!(arguments.contains_key("cursor") && arguments.contains_key("max_bytes"));
            for (name, argument) in arguments {
                let text = argument.to_string();
                assert!(text.contains("description"), "{}: {name}: {text}", tool.name);
            }
            assert!(tool.description.unwrap().len() > 80);
        }
    }

    /// Tests the length of all descriptions, as an agent has them in its context before it asks
    /// anything.
    #[test]
    fn all_tools_together_are_short_and_no_choice_is_left_out() {
        let tools = serde_json::to_string(&all()).unwrap();
        assert!(tools.len() <= 6_000, "{}", tools.len());
        for choice in ["sites", "roots", "hung_tasks", "allocated", "variable", "process"] {
            assert!(tools.contains(&format!("\"{choice}\"")), "{choice}");
        }
        for said in ["MEMSCOPE_HOLDERS=on", "estimates", "(outside of tasks)", "3500 to 1000000"] {
            assert!(tools.contains(said), "{said}");
        }
        assert!(!tools.contains("$ref"));
    }

    #[test]
    fn wrong_arguments_are_named_with_those_that_there_are() {
        let text = error::<Growing>(&json!({ "nmae": "x" }));
        assert!(text.contains("unknown argument `nmae`, expected one of `name`, `kind`"), "{text}");
        let text = error::<Holders>(&json!({ "by": "taks\u{1b}[2J" }));
        assert!(text.contains("expected one of `sites`, `tasks`") && !text.contains('\u{1b}'));
        assert!(error::<Stacks>(&json!({})).contains("missing argument `site`"));
        assert!(error::<Stacks>(&json!({ "site": 7 })).contains("expected a string"));
    }
}
