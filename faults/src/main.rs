//! Plays seeds.
use testudo_faults::script::Script;
use testudo_faults::story::Story;
use testudo_faults::world::play;

fn main() {
    let seed: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let n: u64 = std::env::args().nth(2).map_or(1, |it| it.parse().unwrap());
    for seed in seed..seed + n {
        let t = std::time::Instant::now();
        let (outcome, story) = play(&Script::of(seed), if n == 1 { Story::written() } else { Story::default() });
        for line in story.lines() { println!("{line}"); }
        println!("{seed} {:?} {:?}", t.elapsed(), outcome);
    }
}
