use argh::{ArgsInfo, FromArgs};

use super::*;
use crate::cli::COMMANDS;
use crate::cli::argv::{Globals, Grammar, sort};
use crate::cli::context::Context;
use crate::cli::rpc::options::Rpc;

/// What is offered for the last word of a line; a blank at its end is an empty word.
fn offered(line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    complete(COMMANDS, &words)
        .into_iter()
        .map(|candidate| match candidate {
            Candidate::Word(word, _) => word,
            Candidate::Files => "FILES".to_owned(),
            Candidate::Folders => "FOLDERS".to_owned(),
        })
        .collect()
}

#[test]
fn commands_options_and_values_are_offered() {
    for (line, expected) in [
        ("bro", &["broker"][..]),
        ("ca re", &["revoke"]),
        ("broker ", &["run", "status"]),
        ("broker --po", &["--ports-file"]),
        ("b status --ro", &["--routes"]),
        ("--config x bro", &["broker"]),
        ("--config ", &["FILES"]),
        ("rpc --fail-on ", &["any", "all", "none"]),
        ("rpc --fail-on a", &["any", "all"]),
        ("rpc --fail-on = n", &["none"]),
        ("rpc --fail-on =", &["any", "all", "none"]),
        ("rpc --fail-on=n", &["--fail-on=none"]),
        ("rpc --json --js", &["--jsonl"]),
        ("rpc rpcu", &["rpcutil"]),
        ("rpc rpcutil get_f", &["get_fact", "get_facts"]),
        ("rpc -C x rpcutil ping ", &[]),
        ("ca init --dir ", &["FOLDERS"]),
        ("ca sign --for ", &["server", "client", "broker"]),
        ("jwt ", &["keys", "client", "server", "provisioning", "view", "check", "FILES"]),
        ("jwt view ", &["FILES"]),
        ("policy check a.policy ", &["FILES"]),
        ("tool completion ", &["bash", "zsh", "fish"]),
        ("tool com", &["completion"]),
        ("ca init -- --d", &[]),
        ("nonsense ", &[]),
    ] {
        let mut found = offered(line);
        if line == "nonsense " {
            found.retain(|word| !COMMANDS.iter().any(|command| command.name == word));
        }
        assert_eq!(found, expected, "{line:?}");
    }
    assert!(offered("login ").contains(&"--config".to_owned()));
    assert!(offered("ca sign -").contains(&"--alt".to_owned()));
    assert!(!offered("ca sign --csr x -").contains(&"--csr".to_owned()));
    assert!(offered("ca sign --alt x -").contains(&"--alt".to_owned()));
}

/// Every word that is offered as a value is accepted, and every option is one: there is nothing but the table.
#[test]
fn words_offered_as_values_are_accepted() {
    let mut sets = 0;
    let leaves = COMMANDS.iter().flat_map(|command| match &command.kind {
        Kind::Leaf(_) => std::slice::from_ref(command),
        Kind::Group { commands, .. } => commands,
    });
    for command in leaves {
        let Kind::Leaf(leaf) = &command.kind else { continue };
        let info = (leaf.info)();
        for flag in help::own_flags(&info) {
            let FlagInfoKind::Option { arg_name } = flag.kind else { continue };
            for word in help::values(arg_name).into_iter().flatten() {
                sets += 1;
                let line = [flag.long.to_owned(), word.to_owned()];
                let sorted = sort(&line, &Grammar::of((leaf.info)()), &mut Globals::default());
                let line = sorted.expect("an option of the command").into_line();
                let line: Vec<&str> = line.iter().map(String::as_str).collect();
                let context = Context::apart(Globals::default());
                let failure = (leaf.start)(&["choria"], &line, &context).err();
                let message = failure.map(|failure| failure.message).unwrap_or_default();
                assert!(!message.contains(flag.long), "{} {}: {message}", flag.long, word);
            }
        }
    }
    assert!(sets > 20, "only {sets}");
}

/// Those that `rpc` looks at later than argh.
#[test]
fn words_of_rpc_are_accepted() {
    let info = Rpc::get_args_info();
    for flag in help::own_flags(&info) {
        let FlagInfoKind::Option { arg_name } = flag.kind else { continue };
        for word in help::values(arg_name).into_iter().flatten() {
            let typed = Rpc::from_args(&["rpc"], &[flag.long, word]).expect("options of rpc");
            assert!(typed.options().is_ok(), "{} {word}", flag.long);
        }
    }
}
