//! Independent runs on all cores, with results in the order of the jobs whoever finishes first.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `work` for every job on so many threads; `done` is told of each that is finished.
///
/// # Panics
/// When a job panics.
pub fn on_all_cores<J: Sync, R: Send>(
    jobs: &[J],
    threads: usize,
    work: impl Fn(&J) -> R + Sync,
    done: impl Fn() + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<R>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                while let Some((at, job)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    jobs.get(at).map(|job| (at, job))
                } {
                    let result = work(job);
                    *results[at].lock().expect("no job panics while it stores its result") = Some(result);
                    done();
                }
            });
        }
    });
    let results = results.into_iter().map(|slot| slot.into_inner().expect("no job panics").expect("every job ran"));
    results.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..50).collect();
        let finished = AtomicUsize::new(0);
        // The first take longest.
        let work = |job: &u64| {
            std::thread::sleep(std::time::Duration::from_micros(500 - 10 * job));
            job * 2
        };
        for threads in [1, 4, 100] {
            let results = on_all_cores(&jobs, threads, work, || {
                finished.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(results, jobs.iter().map(|job| job * 2).collect::<Vec<_>>());
        }
        assert_eq!(finished.into_inner(), 150);
        assert_eq!(on_all_cores(&[], 4, |job: &u64| *job, || {}), Vec::<u64>::new());
    }
}
