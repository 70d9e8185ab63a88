//! Functions that policies may call besides those of the language: about the filter of the request, and about time.

use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use regorus::{Engine, Value};

use crate::protocol::filter::{FactFilter, Filter};

/// The result of a function; the interpreter wants this type.
type Result<T> = std::result::Result<T, anyhow::Error>;

/// Numbers in a range.
const RANGE_MAX: u64 = 100_000;

/// Whether a filter has what a text says.
type AboutFilter = fn(&Filter, &str) -> Result<bool>;
/// A part of a time.
type PartOfTime = fn(&jiff::Zoned) -> Value;

/// Adds the functions; those about the filter only where there is one.
pub(super) fn add(engine: &mut Engine, filter: Option<&Filter>) -> Result<()> {
    add_time(engine)?;
    add_bounds(engine)?;
    let Some(filter) = filter else { return Ok(()) };
    let filter = Arc::new(filter.clone());
    let asked = filter.clone();
    engine.add_extension(
        "requires_filter".to_owned(),
        0,
        Box::new(move |_: Vec<Value>| Ok(Value::from(is_filtered(&asked)))),
    )?;
    let about: [(&str, AboutFilter); 3] = [
        ("requires_fact_filter", has_fact),
        ("requires_class_filter", |filter, class| Ok(filter.classes.iter().any(|c| c == class))),
        ("requires_identity_filter", |filter, id| Ok(filter.identities.iter().any(|i| i == id))),
    ];
    for (name, function) in about {
        let filter = filter.clone();
        let call =
            move |arguments: Vec<Value>| Ok(Value::from(function(&filter, text(&arguments, 0)?)?));
        engine.add_extension(name.to_owned(), 1, Box::new(call))?;
    }
    Ok(())
}

/// Whether the request is for some nodes only. Every request names an agent, so that one does not count.
fn is_filtered(filter: &Filter) -> bool {
    !(filter.facts.is_empty()
        && filter.classes.is_empty()
        && filter.identities.is_empty()
        && filter.compound.is_empty())
}

fn has_fact(filter: &Filter, text: &str) -> Result<bool> {
    Ok(filter.facts.contains(&FactFilter::parse(text)?))
}

/// Functions of the language whose result may be as large as a number says. The interpreter's own ask for all the memory at
/// once, and a process that does not get it ends.
fn add_bounds(engine: &mut Engine) -> Result<()> {
    let range = |arguments: Vec<Value>| {
        let (from, to) = (whole(&arguments, 0)?, whole(&arguments, 1)?);
        if from.abs_diff(to) >= RANGE_MAX {
            anyhow::bail!("a range has {RANGE_MAX} numbers at most");
        }
        let numbers: Vec<Value> = match from <= to {
            true => (from..=to).map(Value::from).collect(),
            false => (to..=from).rev().map(Value::from).collect(),
        };
        Ok(Value::from(numbers))
    };
    engine.add_extension("numbers.range".to_owned(), 2, Box::new(range))?;
    for (name, arguments) in [("numbers.range_step", 3), ("bits.lsh", 2)] {
        let refused = move |_: Vec<Value>| anyhow::bail!("{name} is not supported");
        engine.add_extension(name.to_owned(), arguments, Box::new(refused))?;
    }
    Ok(())
}

/// The functions of OPA that maintenance windows are written with. The crate's own need a second library for time.
fn add_time(engine: &mut Engine) -> Result<()> {
    engine.add_extension(
        "time.now_ns".to_owned(),
        0,
        Box::new(|_: Vec<Value>| nanoseconds(Timestamp::try_from(SystemTime::now())?)),
    )?;
    engine.add_extension(
        "time.parse_rfc3339_ns".to_owned(),
        1,
        Box::new(|arguments: Vec<Value>| nanoseconds(text(&arguments, 0)?.parse()?)),
    )?;
    let parts: [(&str, PartOfTime); 3] = [
        ("time.clock", |at| numbers([at.hour(), at.minute(), at.second()].map(i64::from))),
        ("time.date", |at| numbers([i64::from(at.year()), at.month().into(), at.day().into()])),
        ("time.weekday", |at| Value::from(WEEKDAYS[at.weekday().to_monday_zero_offset() as usize])),
    ];
    for (name, part) in parts {
        let call = move |arguments: Vec<Value>| Ok(part(&moment(&arguments)?));
        engine.add_extension(name.to_owned(), 1, Box::new(call))?;
    }
    Ok(())
}

const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn text(arguments: &[Value], index: usize) -> Result<&str> {
    match arguments.get(index) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(anyhow::anyhow!("a text is expected")),
    }
}

fn whole(arguments: &[Value], index: usize) -> Result<i64> {
    let expected = || anyhow::anyhow!("a whole number is expected");
    arguments.get(index).ok_or_else(expected)?.as_i64().map_err(|_| expected())
}

/// A time as its nanoseconds since 1970, or these and the name of a zone.
fn moment(arguments: &[Value]) -> Result<jiff::Zoned> {
    let expected = || anyhow::anyhow!("nanoseconds are expected, or these and a time zone");
    let argument = arguments.first().ok_or_else(expected)?;
    let (ns, zone) = match argument {
        Value::Array(parts) if parts.len() == 2 => (&parts[0], text(parts, 1)?),
        other => (other, "UTC"),
    };
    let at = Timestamp::from_nanosecond(i128::from(ns.as_i64()?))?;
    let zone = match zone {
        "" | "UTC" => TimeZone::UTC,
        "Local" => TimeZone::system(),
        name => TimeZone::get(name)?,
    };
    Ok(at.to_zoned(zone))
}

fn nanoseconds(at: Timestamp) -> Result<Value> {
    Ok(Value::from(i64::try_from(at.as_nanosecond())?))
}

fn numbers(list: [i64; 3]) -> Value {
    Value::from(list.map(Value::from).to_vec())
}
