//! The tools: their names, what they say of themselves, and their arguments.

use std::sync::Arc;

use rmcp::{
    handler::server::tool::schema_for_input,
    model::{JsonObject, Tool, ToolAnnotations},
    schemars::JsonSchema,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{holders, quote::quoted, stacks, subject, waits};
use crate::error::Error;

/// Defines the arguments of tools, with those for paging, which all have.
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
            /// `next_cursor` of the answer before, to go on with its snapshot. Leave it out to ask
            /// anew.
            #[serde(default)]
            #[expect(dead_code, reason = "read before, of all tools")]
            pub(super) cursor: Option<String>,
            /// Most bytes of the answer: 3500 to 1000000, 4000 if left out.
            #[serde(default)]
            #[expect(dead_code, reason = "read before, of all tools")]
            pub(super) max_bytes: Option<u64>,
        }
    )*};
}

arguments! {
    /// Arguments of `verdict`.
    Verdict {
        /// Also look for what holds the bytes. The program stands still for some milliseconds; it
        /// takes `MEMSCOPE_HOLDERS=on`.
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
        /// The name of a site, variable, shared owner or function, as answers have it; `name
        /// (file:line)` where several sites have one name; `#7` for a task; `process`, or `(outside
        /// of tasks)`. Without it: the process.
        #[serde(default)]
        name: Option<String>,
        /// What the name is of, if it could be of several things.
        #[serde(default)]
        kind: Option<subject::Kind>,
    }
    /// Arguments of `where_tasks_wait`.
    Waits {
        /// Which tasks.
        #[serde(default)]
        of: waits::Of,
        /// With `hung_tasks`: leave out tasks that were polled within so many seconds.
        #[serde(default)]
        idle_seconds: u32,
    }
    /// Arguments of `stacks_of_site`.
    Stacks {
        /// The site's name, or `name (file:line)`, or `(outside of tasks)`.
        site: String,
        /// Which bytes.
        #[serde(default)]
        of: stacks::Of,
    }
    /// Arguments of `remember`.
    Remember {
        /// The name to keep the snapshot of now under, such as `before load`.
        name: String,
    }
    /// Arguments of `compare`.
    Compare {
        /// The name that `remember` was given, the number of a snapshot of the last answers,
        /// `first` (the first one of this server), or the path of a saved report. Without it:
        /// `first`.
        #[serde(default)]
        then: Option<String>,
    }
    /// Arguments of `futures`.
    Futures {
        /// The program's path. Without it: the program of the snapshot, if it is on this machine.
        #[serde(default)]
        program: Option<String>,
        /// Only futures whose name has this in it.
        #[serde(default)]
        filter: Option<String>,
        /// Those of dependencies and of the standard library as well.
        #[serde(default)]
        all: bool,
    }
}

/// What a client is told of a tool.
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
        description: "Start here. What looks lost or keeps growing: each finding with its bytes, \
            file and line, how sure it is and why, what holds the bytes, evidence and cure; then \
            what could not be judged yet, and why.",
        schema: schema_for_input::<Verdict>,
    },
    About {
        name: "largest_holders",
        title: "What has the most memory",
        description: "What has the most live bytes now, the largest first: sites (with what is \
            outside of tasks they add up to all live bytes), tasks, variables, shared owners, call \
            stacks (estimates) or roots of the heap graph. Sizes are exact.",
        schema: schema_for_input::<Holders>,
    },
    About {
        name: "why_growing",
        title: "Why something grows",
        description: "All that is known of one site, task, variable, shared owner or function: \
            findings with cures, the course of its bytes, the code that allocates, its variables, \
            where its tasks wait, which site frees for it. Without a name: of the process, and \
            what rose most.",
        schema: schema_for_input::<Growing>,
    },
    About {
        name: "where_tasks_wait",
        title: "Where tasks wait",
        description: "At which `.await` (file and line) tasks wait, how many, with how many bytes \
            and for how long. `hung_tasks`: every task of the running program that waits, \
            annotated or not, the longest not polled first.",
        schema: schema_for_input::<Waits>,
    },
    About {
        name: "stacks_of_site",
        title: "Which code allocates",
        description: "The call stacks that allocated what a site's tasks hold, with functions, \
            files and lines. Bytes are estimates from samples, and say from how many.",
        schema: schema_for_input::<Stacks>,
    },
    About {
        name: "remember",
        title: "Keep the state of now",
        description: "Keeps a snapshot of now under a name in this server, to `compare` with \
            later. The program is not changed.",
        schema: schema_for_input::<Remember>,
    },
    About {
        name: "compare",
        title: "What changed since then",
        description: "What changed from an earlier snapshot to now, the largest growth of live \
            bytes first: by site, variable and call stack. The earlier one is a name of \
            `remember`, \"first\", a number, or a saved report's path.",
        schema: schema_for_input::<Compare>,
    },
    About {
        name: "futures",
        title: "Which futures are large",
        description: "The largest futures of a program, what makes them large, and what to change, \
            with files and lines: from debug information. The program need not run.",
        schema: schema_for_input::<Futures>,
    },
];

/// The names of all tools.
pub(super) fn names() -> Vec<&'static str> {
    TOOLS.iter().map(|it| it.name).collect()
}

/// All tools, as a client gets them. None of them changes the program or a file.
pub(super) fn all() -> Vec<Tool> {
    let output = Arc::new(output_schema());
    let tool = |about: &About| {
        let annotations = ToolAnnotations::with_title(about.title)
            .read_only(true)
            .destructive(false)
            .idempotent(true)
            .open_world(false);
        let schema = (about.schema)().unwrap_or_default();
        Tool::new(about.name, about.description, schema)
            .with_title(about.title)
            .with_raw_output_schema(Arc::clone(&output))
            .with_annotations(annotations)
    };
    TOOLS.iter().map(tool).collect()
}

/// What all answers have as data.
fn output_schema() -> JsonObject {
    let schema = json!({
        "type": "object",
        "properties": {
            "snapshot": {
                "type": "object",
                "description": "of when, of which process and from where all figures are",
            },
            "rows": { "type": "array", "items": { "type": "object" } },
            "rows_total": { "type": "integer" },
            "rows_left_out": { "type": "integer" },
            "next_cursor": { "type": ["string", "null"] },
        },
        "required": ["rows", "rows_total", "rows_left_out", "next_cursor"],
    });
    if let Value::Object(schema) = schema { schema } else { JsonObject::new() }
}

/// Reads the arguments of a tool. The error names those that there are.
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
            assert_eq!(tool.input_schema["additionalProperties"], false, "{}", tool.name);
            let arguments = tool.input_schema["properties"].as_object().unwrap();
            assert!(arguments.contains_key("cursor") && arguments.contains_key("max_bytes"));
            for (name, argument) in arguments {
                let text = argument.to_string();
                assert!(text.contains("description"), "{}: {name}: {text}", tool.name);
            }
            assert!(tool.description.unwrap().len() > 80);
        }
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
