//! What can be wrong with a line of a policy.

use std::fmt;

/// A line that cannot be read. Nothing in a file with such a line counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadLine {
    /// Counted from 1.
    pub line: usize,
    /// The line, its columns separated by single spaces.
    pub text: String,
    /// Why it cannot be read.
    pub why: Unread,
}

/// Why a line cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It is none of those a policy has.
    Unknown,
    /// It begins like a rule but has no tabs between its columns.
    NoTabs,
    /// It begins like a rule but has fewer columns than one.
    FewColumns,
    /// There is white space before its first word.
    Indented,
    /// It ends with a tab.
    TrailingTab,
    /// It is not UTF-8 text.
    NotText,
    /// It is longer than a line may be.
    TooLong,
    /// There are more lines than a file may have.
    TooManyLines,
    /// There are more patterns than a file may have.
    TooManyPatterns,
    /// Of the file of groups: a name without members.
    NoMembers,
    /// Of the file of groups: what cannot be the name of a group.
    GroupName,
    /// Of the file of groups: there are too many.
    TooManyGroups,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unread::Unknown => "a line is neither a comment nor a default nor a rule",
            Unread::NoTabs => "the columns of a rule are not separated by tabs",
            Unread::FewColumns => {
                "a rule has fewer than the columns caller, actions, facts, classes"
            }
            Unread::Indented => "a line begins with white space",
            Unread::TrailingTab => "a rule ends with a tab",
            Unread::NotText => "a line is not UTF-8 text",
            Unread::TooLong => "a line is longer than 65536 bytes",
            Unread::TooManyLines => "there are more than 20000 lines",
            Unread::TooManyPatterns => "there are too many regular expressions",
            Unread::NoMembers => "a group has no members",
            Unread::GroupName => {
                "a group has a name with other characters than letters, digits, _ . and -"
            }
            Unread::TooManyGroups => "there are more than 10000 groups",
        })
    }
}

/// A column of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Who asks.
    Callers,
    /// What is asked for.
    Actions,
    /// Facts of the node.
    Facts,
    /// Classes of the node.
    Classes,
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Column::Callers => "callers",
            Column::Actions => "actions",
            Column::Facts => "facts",
            Column::Classes => "classes",
        })
    }
}

/// Why a rule whose columns can be told apart cannot be applied. It denies what reaches it: the
/// requests no line above has decided, of a caller and for an action that it may be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleFault {
    /// There is no column of classes.
    NoClasses,
    /// There are columns behind the classes.
    ManyColumns(usize),
    /// `and`, `or`, `not`, `!` or parentheses, which are not supported.
    Compound(Column),
    /// `*` stands among other words.
    Star(Column),
    /// White space where a word should be.
    Space(Column),
    /// A regular expression that cannot be used.
    Pattern {
        /// Where it stands.
        column: Column,
        /// The word it stands in.
        word: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A word that is no condition on a fact.
    Fact(String),
    /// A condition on a fact where a class should be.
    FactInClasses(String),
    /// A group is named, and the file of groups cannot be read: where and why.
    Groups(String),
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleFault::NoClasses => f.write_str("it has no column of classes"),
            RuleFault::ManyColumns(count) => {
                write!(f, "it has {count} columns instead of caller, actions, facts and classes")
            }
            RuleFault::Compound(column) => {
                write!(f, "compound expressions are not supported, as in its {column}")
            }
            RuleFault::Star(column) => write!(f, "* does not stand alone in its {column}"),
            RuleFault::Space(column) => write!(f, "there is extra white space in its {column}"),
            RuleFault::Pattern { column, word, reason } => {
                write!(f, "{word:?} in its {column} is no usable pattern: {reason}")
            }
            RuleFault::Fact(word) => write!(f, "{word:?} is no condition on a fact"),
            RuleFault::FactInClasses(word) => {
                write!(f, "{word:?} in its classes is a condition on a fact")
            }
            RuleFault::Groups(why) => f.write_str(why),
        }
    }
}
