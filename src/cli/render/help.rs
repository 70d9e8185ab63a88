//! Help for agents and actions, from their descriptions.

use std::fmt::Write;

use crate::ddl::{Action, Agent, Display, Input};

/// Columns of help text.
const COLUMNS: usize = 100;

/// Known agents with their descriptions.
pub fn agents(list: &[(String, String)]) -> String {
    format!(
        "Agents this computer has a description of:\n\n{}\nRun 'choria rpc AGENT' for what an agent can do.\n",
        definitions(list)
    )
}

/// The actions of one agent.
pub fn agent(agent: &Agent) -> String {
    let about = &agent.metadata;
    let list: Vec<(String, String)> = agent
        .actions
        .iter()
        .map(|action| (action.name.clone(), action.description.clone()))
        .collect();
    format!(
        "{} {}: {}\n\nActions:\n\n{}\nRun 'choria rpc {} ACTION --help' for what an action takes and answers.\n",
        about.name,
        about.version,
        about.description,
        definitions(&list),
        about.name
    )
}

/// What one action takes and answers, with an example.
pub fn action(agent: &Agent, action: &Action) -> String {
    let command = format!("choria rpc {} {}", agent.metadata.name, action.name);
    let usage = usage(action);
    let mut out = format!("Usage: {command}{usage} [options]\n\n{}\n", action.description);
    inputs(&mut out, action);
    outputs(&mut out, action);
    let _ = write!(out, "\nShown: {}.", shown(action.display));
    if agent.metadata.service {
        out.push_str(" A service: one of its instances answers.");
    }
    let _ = write!(
        out,
        " Time allowed: {} s.\n\nExample:\n\n  {command}{}\n\nRun 'choria rpc --help' for the options.\n",
        agent.timeout().as_secs(),
        example(action)
    );
    out
}

fn usage(action: &Action) -> String {
    let word = |(name, input): (&String, &Input)| {
        let word = format!("{name}={}", placeholder(input));
        if needed(input) { format!(" {word}") } else { format!(" [{word}]") }
    };
    let (needed, rest): (Vec<_>, Vec<_>) =
        action.inputs.iter().partition(|(_, input)| needed(input));
    needed.into_iter().chain(rest).map(word).collect()
}

fn inputs(out: &mut String, action: &Action) {
    if action.inputs.is_empty() {
        out.push_str("\nInputs: none\n");
        return;
    }
    out.push_str("\nInputs:\n");
    for (name, input) in &action.inputs {
        let _ = writeln!(out, "\n  {name}  {}", rules(input));
        let about = if input.description.is_empty() { &input.prompt } else { &input.description };
        if !about.is_empty() {
            let _ = writeln!(out, "      {about}");
        }
    }
}

/// Type, need, default and limits of an input.
fn rules(input: &Input) -> String {
    let mut rules = vec![input.kind.to_lowercase()];
    rules.push(if input.optional { "optional" } else { "required" }.to_string());
    if let Some(default) = input.default.as_ref().filter(|value| !value.is_null()) {
        rules.push(format!("default {default}"));
    }
    if input.maxlength > 0 {
        rules.push(format!("at most {} characters", input.maxlength));
    }
    if !input.validation.is_empty() {
        let named = input.validation.starts_with(|c: char| c.is_ascii_lowercase());
        rules.push(if named {
            input.validation.clone()
        } else {
            format!("must match {}", input.validation)
        });
    }
    if !input.list.is_empty() {
        rules.push(format!("one of {}", input.list.join(", ")));
    }
    rules.join(", ")
}

fn outputs(out: &mut String, action: &Action) {
    if action.outputs.is_empty() {
        return;
    }
    let summarised = |name: &str| {
        let function = |entry: &crate::ddl::Aggregate| {
            (entry.args.get(0)?.as_str()? == name).then(|| entry.function.clone())
        };
        action.aggregates.iter().filter_map(function).next_back()
    };
    let list: Vec<(String, String)> = action
        .outputs
        .iter()
        .map(|(name, output)| {
            let kind = if output.kind.is_empty() { "any" } else { &output.kind };
            let summary = summarised(name)
                .map(|function| format!(" (summarised: {function})"))
                .unwrap_or_default();
            (name.clone(), format!("{kind}: {}{summary}", output.description))
        })
        .collect();
    let _ = write!(out, "\nOutputs:\n\n{}", definitions(&list));
}

fn shown(display: Display) -> &'static str {
    match display {
        Display::Ok => "good replies only",
        Display::Failed => "failed replies only",
        Display::Always => "every reply",
    }
}

fn needed(input: &Input) -> bool {
    !input.optional && input.default.as_ref().is_none_or(serde_json::Value::is_null)
}

fn placeholder(input: &Input) -> String {
    if input.list.is_empty() { input.kind.to_uppercase() } else { input.list.join("|") }
}

/// The needed inputs with values that look right.
fn example(action: &Action) -> String {
    let value = |input: &Input| match input.kind.to_ascii_lowercase().as_str() {
        "integer" | "number" | "float" => "1".to_string(),
        "boolean" => "true".to_string(),
        "list" => input.list.first().cloned().unwrap_or_default(),
        "hash" => "'{\"key\":\"value\"}'".to_string(),
        "array" => "'[\"value\"]'".to_string(),
        _ => "value".to_string(),
    };
    let needed = action.inputs.iter().filter(|(_, input)| needed(input));
    let words: String = needed.map(|(name, input)| format!(" {name}={}", value(input))).collect();
    format!("{words} -I n1.example.net")
}

/// Names and their explanations side by side, long explanations wrapped.
fn definitions(list: &[(String, String)]) -> String {
    let width = list.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, about) in list {
        let mut line = format!("  {name:<width$}  ");
        let margin = line.chars().count();
        for word in about.split_whitespace() {
            let used = line.chars().count();
            if used > margin && used + word.chars().count() > COLUMNS {
                let _ = writeln!(out, "{}", line.trim_end());
                line = " ".repeat(margin);
            }
            line.push_str(word);
            line.push(' ');
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> Agent {
        let document = json!({
            "metadata": {"name": "service", "description": "Manages services", "version": "4.0.1", "timeout": 60},
            "actions": [
                {"action": "restart", "description": "Restart a service", "display": "failed",
                 "input": {
                    "service": {"prompt": "Service", "description": "The service to restart", "type": "string",
                                "optional": false, "validation": "shellsafe", "maxlength": 90},
                    "mode": {"type": "list", "optional": true, "default": "soft", "list": ["soft", "hard"]}},
                 "output": {"status": {"description": "Its state afterwards", "display_as": "Status", "type": "string"}},
                 "aggregate": [{"function": "summary", "args": ["status"]}]},
                {"action": "ls", "description": "List services", "input": {}, "output": {}}]});
        Agent::parse(document.to_string().as_bytes()).expect("a valid description")
    }

    #[test]
    fn an_agent_lists_its_actions() {
        assert_eq!(
            agent(&sample()),
            "service 4.0.1: Manages services\n\
             \n\
             Actions:\n\
             \n\
             \x20 restart  Restart a service\n\
             \x20 ls       List services\n\
             \n\
             Run 'choria rpc service ACTION --help' for what an action takes and answers.\n"
        );
    }

    #[test]
    fn an_action_shows_inputs_outputs_and_an_example() {
        let described = sample();
        assert_eq!(
            action(&described, &described.actions[0]),
            "Usage: choria rpc service restart service=STRING [mode=soft|hard] [options]\n\
             \n\
             Restart a service\n\
             \n\
             Inputs:\n\
             \n\
             \x20 mode  list, optional, default \"soft\", one of soft, hard\n\
             \n\
             \x20 service  string, required, at most 90 characters, shellsafe\n\
             \x20     The service to restart\n\
             \n\
             Outputs:\n\
             \n\
             \x20 status  string: Its state afterwards (summarised: summary)\n\
             \n\
             Shown: failed replies only. Time allowed: 60 s.\n\
             \n\
             Example:\n\
             \n\
             \x20 choria rpc service restart service=value -I n1.example.net\n\
             \n\
             Run 'choria rpc --help' for the options.\n"
        );
    }

    #[test]
    fn an_action_without_inputs_says_so() {
        let described = sample();
        let text = action(&described, &described.actions[1]);
        assert!(
            text.starts_with(
                "Usage: choria rpc service ls [options]\n\nList services\n\nInputs: none\n\nShown:"
            ),
            "{text}"
        );
    }

    #[test]
    fn long_explanations_are_wrapped() {
        let text = definitions(&[("a".into(), "word ".repeat(30))]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].len() <= COLUMNS && lines[1].starts_with("     word"), "{text}");
    }
}
