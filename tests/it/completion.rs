//! Completion in real shells. A shell that is not installed is named, and its test passes without it; `scripts/test-peers`
//! installs them where it can.

use std::process::Command;

use super::support::{Folder, choria, program, run};

/// A command of a shell with the program in its path, and with nothing of the user who runs the test.
fn shell(name: &str, args: &[&str], folder: &Folder) -> Option<Command> {
    if Command::new(name).arg("--version").output().is_err() {
        eprintln!("not run: {name} is not installed");
        return None;
    }
    let program = program();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", program.parent().expect("a folder").display());
    let mut command = Command::new(name);
    command.args(args).current_dir(folder.file(".")).env("PATH", path);
    command.env("HOME", folder.file(".")).env_remove("XDG_CONFIG_HOME").env("TERM", "dumb");
    Some(command)
}

/// A folder with files to find.
fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    std::fs::create_dir(folder.file("a folder")).expect("a folder");
    folder.write("a file.conf", "");
    folder
}

/// What is typed, and the words that the last one can become.
const CASES: &[(&[&str], &[&str])] = &[
    (&["bro"], &["broker"]),
    (&["ca", "re"], &["revoke"]),
    (&["rpc", "--fail-on", ""], &["all", "any", "none"]),
    (&["rpc", "--fail-o"], &["--fail-on"]),
    (&["rpc", "rpcutil", "get_f"], &["get_fact", "get_facts"]),
    (&["tool", "completion", "b"], &["bash"]),
    (&["ca", "init", "--dir", "a"], &["a folder"]),
    (&["--config", "a"], &["a file.conf", "a folder"]),
];

#[test]
fn scripts_are_printed() {
    for (name, part) in
        [("bash", "complete -F"), ("zsh", "#compdef choria\n"), ("fish", "complete -c")]
    {
        let mut command = choria();
        command.args(["tool", "completion", name]);
        let done = run(command, "");
        assert!(done.code == 0 && done.stdout.contains(part), "{done:?}");
    }
    let mut command = choria();
    command.args(["tool", "completion", "tcsh"]);
    let done = run(command, "");
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("there are scripts for bash, zsh and fish"), "{done:?}");
}

#[test]
fn bash_completes() {
    let folder = folder("completion-bash");
    let Some(mut bash) = shell("bash", &["--noprofile", "--norc", "-s"], &folder) else { return };
    // Without bash-completion, which is an interactive shell's.
    bash.env("BASH_COMPLETION_VERSINFO", "");
    let mut script = String::from("eval \"$(choria tool completion bash)\"\ncomplete -p choria\n");
    for (words, _) in CASES {
        let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
        script.push_str(&format!(
            "COMP_WORDS=(choria {}); COMP_CWORD={}; _choria; printf '%s\\n' \"${{COMPREPLY[@]}}\" | sort\n\
             echo ---\n",
            words.join(" "),
            words.len()
        ));
    }
    // As bash divides `--fail-on=n`.
    script.push_str(
        "COMP_WORDS=(choria rpc --fail-on = n); COMP_CWORD=4; _choria; echo \"${COMPREPLY[@]}\"\n",
    );
    let done = run(bash, &script);
    let mut expected = String::from("complete -F _choria choria\n");
    for (_, words) in CASES {
        expected.push_str(&format!("{}\n---\n", words.join("\n")));
    }
    expected.push_str("none\n");
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), (expected.as_str(), ""));
}

#[test]
fn fish_completes() {
    let folder = folder("completion-fish");
    let Some(mut fish) = shell("fish", &["--no-config"], &folder) else { return };
    let mut script = String::from("choria tool completion fish | source\n");
    for (words, _) in CASES {
        // The rest of the line as a person types it; files with blanks come back quoted.
        script.push_str(&format!("complete -C \"choria {}\"\necho ---\n", words.join(" ")));
    }
    fish.env("XDG_DATA_HOME", folder.file("."));
    let done = run(fish, &script);
    let answers: Vec<&str> = done.stdout.split("---\n").collect();
    assert_eq!(answers.len(), CASES.len() + 1, "{done:?}");
    for ((words, expected), answer) in CASES.iter().zip(answers) {
        let mut found: Vec<_> = answer
            .lines()
            .map(|line| line.split('\t').next().unwrap_or_default())
            .map(|word| word.replace('\\', "").trim_end_matches('/').to_owned())
            .collect();
        found.sort();
        assert_eq!(found, *expected, "{words:?} {done:?}");
    }
    // Descriptions are there.
    assert!(done.stdout.contains("broker\tRun the message router"), "{done:?}");
}

#[test]
fn zsh_completes() {
    let folder = folder("completion-zsh");
    let Some(zsh) = shell("zsh", &["-f", "-s"], &folder) else { return };
    // Completion needs a terminal, which zpty makes: a second zsh in it is typed to.
    let mut script = String::from(ZSH_HEAD);
    for (words, _) in CASES {
        script.push_str(&format!("ask \"choria {}\"\n", words.join(" ")));
    }
    let done = run(zsh, &script);
    let answers: Vec<&str> = done.stdout.split("---\n").collect();
    assert_eq!(answers.len(), CASES.len() + 1, "{done:?}");
    for ((words, expected), answer) in CASES.iter().zip(answers) {
        // Files with blanks come back quoted.
        let found = answer.lines().map(|word| word.replace('\\', ""));
        let found: Vec<_> = found.map(|word| word.trim_end_matches('/').to_owned()).collect();
        assert_eq!(found, *expected, "{words:?} {done:?}");
    }
}

/// `ask LINE` prints the words that the last one of a line can become, then three dashes. The shell in the terminal
/// replaces what adds matches by something that prints them.
const ZSH_HEAD: &str = r#"
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1= ; unsetopt zle_bracketed_paste 2>/dev/null; autoload -Uz compinit; compinit -u -D'
zpty -w shell 'source <(choria tool completion zsh)'
zpty -w shell 'compadd() {
    if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
        local -a found; builtin compadd -A found "$@"
        (( $#found )) && print -rl -- "@@${(@)^found}" >> matches
    fi
    builtin compadd "$@"
}'
zpty -w shell 'zstyle ":completion:*" list-prompt ""'
zpty -w shell 'show() { : > matches; zle list-choices; print done > finished }; zle -N show; bindkey "^T" show'
zpty -w shell 'print ready > ready'
until [[ -s ready ]]; do sleep 0.05; done
ask() {
    rm -f finished
    zpty -w -n shell $'\C-u'"$1"$'\C-t'
    until [[ -s finished ]]; do sleep 0.05; done
    sed -n 's/^@@//p' matches | sort -u
    print -r -- ---
}
"#;
