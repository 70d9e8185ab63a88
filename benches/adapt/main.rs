//! What a data adapter costs, and how it behaves while its target stalls. Run by `scripts/bench-adapt`; see docs/adapters.md.
//!
//! The adapter is a process of its own, and so is the bare publish loop it is compared with. Both write to a stream of a
//! stock nats-server and wait for its acknowledgements.

mod bare;
mod peers;
mod sink;
mod stalled;
mod throughput;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let is_good = match words.as_slice() {
        // The process that is measured against.
        ["bare", port, count, in_flight] => {
            bare::run(number(port) as u16, number(count), number(in_flight) as usize);
            true
        }
        ["stalled", seconds] => stalled::run(number(seconds)),
        ["stalled"] => stalled::run(180),
        [] => throughput::run(3, 300_000),
        ["throughput", rounds, count] => throughput::run(number(rounds), number(count)),
        ["sink", count, keys @ ..] if !keys.is_empty() => sink::run(number(count), keys),
        _ => {
            eprintln!(
                "usage: bench-adapt [throughput ROUNDS MESSAGES | stalled [SECONDS] | sink MESSAGES KEY=VALUE...]"
            );
            false
        }
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}
