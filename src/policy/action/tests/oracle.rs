//! The grammar once more, written as plainly as possible: random policies and requests must get the
//! same decision from it. It shares no code with the policies it checks.

use super::*;

/// What the written grammar says. Facts are `name=value` here, patterns are `/^start/`.
fn oracle(policy: &str, asked: &Asked<'_>, groups: Option<&str>, unconfigured: bool) -> bool {
    let lines: Vec<&str> = policy.split('\n').collect();
    if lines.iter().any(|line| !can_be_read(line)) {
        return false;
    }
    let mut default = unconfigured;
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.starts_with('#') || words.is_empty() {
            continue;
        }
        if words[0] == "policy" {
            default = words[2] == "allow";
            continue;
        }
        let columns: Vec<&str> = line.split('\t').filter(|column| !column.is_empty()).collect();
        match rule(&columns[1..], asked, groups) {
            Answer::Met => return columns[0] == "allow",
            Answer::NotMet => {}
            Answer::Refused => return false,
            Answer::Doubtful if columns[0] == "deny" => return false,
            Answer::Doubtful => {}
        }
    }
    default
}

#[derive(PartialEq, Clone, Copy)]
enum Answer {
    Met,
    NotMet,
    Doubtful,
    Refused,
}

fn can_be_read(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    if words.is_empty() || line.starts_with('#') {
        return true;
    }
    if words[0] == "policy" {
        return words.len() > 2 && words[1] == "default" && line.starts_with("policy");
    }
    let columns = line.split('\t').filter(|column| !column.is_empty()).count();
    (line.starts_with("allow\t") || line.starts_with("deny\t"))
        && columns > 3
        && !line.ends_with('\t')
}

fn rule(columns: &[&str], asked: &Asked<'_>, groups: Option<&str>) -> Answer {
    let callers = caller(columns[0], asked.caller, groups);
    let broken_callers = columns[0].split(' ').any(|word| word == "/(/");
    if columns[1] != "*" && !columns[1].split(' ').any(|action| action == asked.action) {
        return Answer::NotMet;
    }
    if callers == Answer::NotMet && !broken_callers {
        return Answer::NotMet;
    }
    if broken_callers || callers == Answer::Refused || columns.len() != 4 {
        return Answer::Refused;
    }
    let tokens = columns[2].split(' ').chain(columns[3].split(' '));
    if tokens.clone().any(|token| ["and", "or", "not"].contains(&token) || token.starts_with('!')) {
        return Answer::Refused;
    }
    if columns[2] != "*" && columns[2].split(' ').any(|fact| !fact.contains('=')) {
        return Answer::Refused;
    }
    if columns[3] != "*" && columns[3].split(' ').any(|class| class.contains('=')) {
        return Answer::Refused;
    }
    let facts = match &asked.facts {
        _ if columns[2] == "*" => Answer::Met,
        None => Answer::Doubtful,
        Some(facts) => yes(columns[2].split(' ').all(|fact| {
            let (name, value) = fact.split_once('=').unwrap();
            facts.get(name).is_some_and(|known| known == value)
        })),
    };
    let classes = match &asked.classes {
        _ if columns[3] == "*" => Answer::Met,
        None => Answer::Doubtful,
        Some(classes) => yes(columns[3].split(' ').all(|class| classes.iter().any(|c| c == class))),
    };
    let all = [callers, facts, classes];
    if all.contains(&Answer::NotMet) {
        Answer::NotMet
    } else if all.contains(&Answer::Doubtful) {
        Answer::Doubtful
    } else {
        Answer::Met
    }
}

fn caller(column: &str, caller: &str, groups: Option<&str>) -> Answer {
    if column == "*" {
        return Answer::Met;
    }
    let mut answer = Answer::NotMet;
    for word in column.split(' ') {
        if word == caller {
            return Answer::Met;
        }
        if let Some(start) = word.strip_prefix("/^").and_then(|word| word.strip_suffix('/')) {
            if caller.starts_with(start) {
                return Answer::Met;
            }
        } else if !word.contains('=') && word != "/(/" {
            let Some(groups) = groups else {
                answer = Answer::Refused;
                continue;
            };
            // The last line of a name counts.
            let group = groups.lines().rev().find(|line| line.split(' ').next() == Some(word));
            match group {
                Some(line) if line.split(' ').skip(1).any(|member| member == caller) => {
                    return Answer::Met;
                }
                Some(_) => {}
                None if answer == Answer::NotMet => answer = Answer::Doubtful,
                None => {}
            }
        }
    }
    answer
}

fn yes(met: bool) -> Answer {
    if met { Answer::Met } else { Answer::NotMet }
}

/// Random texts from few words, so that they meet often.
struct Maker(fastrand::Rng);

impl Maker {
    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.0.usize(..words.len())]
    }

    fn list(&mut self, words: &[&str], most: usize) -> String {
        let count = self.0.usize(1..=most);
        (0..count).map(|_| self.pick(words)).collect::<Vec<_>>().join(" ")
    }

    fn one_in(&mut self, times: u32) -> bool {
        self.0.u32(..times) == 0
    }

    fn column(&mut self, words: &[&str], odd: &[&str]) -> String {
        match self.0.u32(..20) {
            0..10 => "*".to_owned(),
            10..19 => self.list(words, 2),
            _ => format!("{} {}", self.list(words, 1), self.pick(odd)),
        }
    }

    fn line(&mut self) -> String {
        match self.0.u32(..40) {
            0..3 => self.pick(&["# words", "", "  ", "#"]).to_owned(),
            3..6 => format!("policy default {}", self.pick(&["allow", "deny", "other"])),
            6 => self
                .pick(&["allow * * * *", "nonsense", " # x", "deny\t*\t*", "allow\t*\t*\t*\t*\t"])
                .to_owned(),
            _ => self.rule(),
        }
    }

    fn rule(&mut self) -> String {
        let callers =
            ["choria=ann", "choria=bob", "up=eve", "/^choria=/", "/^up/", "ops", "night", "nosuch"];
        let mut columns = vec![
            self.pick(&["allow", "deny"]).to_owned(),
            self.column(&callers, &["/(/"]),
            self.column(&["restart", "status", "stop"], &["go"]),
            self.column(&["a=1", "a=2", "b=1", "c=1"], &["or", "nofact", "!a=1"]),
            self.column(&["web", "db"], &["and web", "a=1"]),
        ];
        if self.one_in(30) {
            columns.pop();
        } else if self.one_in(30) {
            columns.push("*".to_owned());
        }
        columns.join(self.pick(&["\t", "\t", "\t\t"]))
    }
}

#[test]
fn random_policies_decide_as_the_written_grammar_says() {
    let seed = fastrand::u64(..);
    let mut maker = Maker(fastrand::Rng::with_seed(seed));
    let (mut allowed, mut denied) = (0, 0);
    for round in 0..20_000 {
        let lines = maker.0.usize(..6);
        let policy = (0..lines).map(|_| maker.line()).collect::<Vec<_>>().join("\n");
        let text = "ops choria=ann\nnight up=eve choria=bob\nops choria=ann up=eve";
        let groups = Groups::parse(text.as_bytes());
        let has_groups = !maker.one_in(8);
        let mut asked = Asked::new(
            maker.pick(&["choria=ann", "choria=bob", "up=eve", "x=y"]),
            maker.pick(&["restart", "status", "stop", "go"]),
        );
        let fact = |value: &str| Value::from(value);
        let facts = json!({"a": fact(maker.pick(&["1", "2"])), "b": fact(maker.pick(&["1", "2"]))});
        asked.facts = (!maker.one_in(10)).then_some(facts);
        let classes: Vec<String> =
            ["web", "db"].iter().filter(|_| maker.one_in(2)).map(|c| (*c).to_owned()).collect();
        asked.classes = (!maker.one_in(10)).then_some(classes);
        let unconfigured = maker.one_in(4);
        let known = if has_groups { Ok(&groups) } else { Err("groups:1: broken") };
        let ours = asked.decide(policy.as_bytes(), known, unconfigured);
        let theirs = oracle(&policy, &asked, has_groups.then_some(text), unconfigured);
        assert_eq!(
            ours.allow, theirs,
            "seed {seed} round {round}: {} {} facts {:?} classes {:?} groups {has_groups} unconfigured {unconfigured}\n{policy}\nours: {}",
            asked.caller, asked.action, asked.facts, asked.classes, ours.reason
        );
        if ours.allow { allowed += 1 } else { denied += 1 }
    }
    assert!(allowed > 2_000 && denied > 2_000, "{allowed} allowed, {denied} denied");
}
