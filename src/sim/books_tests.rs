use super::super::rng::Rng;
use super::super::testing::{node, pod, world};
use super::*;

/// Keeps account of single GPUs, or does not.
struct Told(Option<Vec<usize>>);

impl Placer for Told {
    fn place(&mut self, _: Arrival, _: &mut Rng) -> Option<usize> {
        None
    }

    fn remove(&mut self, _: Arrival) {}

    fn free_gpus(&self) -> Option<Vec<usize>> {
        self.0.clone()
    }
}

fn sets(books: &Books<'_>, told: Option<&[usize]>) -> Vec<(usize, usize)> {
    books.point(0.0, &Told(told.map(<[usize]>::to_vec)), 0).free_sets.into_iter().collect()
}

#[test]
fn free_sets_are_on_one_node_each() {
    let world = world(&[node("a", 64_000, 8), node("b", 64_000, 2)], &[pod("one", 1, 1000), pod("three", 1, 3000)]);
    let mut books = Books::new(&world);
    assert_eq!(sets(&books, None), [(1, 10), (2, 5), (4, 2), (8, 1)]);
    let (one, three) = (Arrival { id: 0, pod: 0 }, Arrival { id: 1, pod: 1 });
    books.arrived(one, Some(1));
    books.arrived(three, Some(0));
    assert_eq!(sets(&books, None), [(1, 6), (2, 2), (4, 1), (8, 0)], "5 and 1 are free");
    books.arrived(Arrival { id: 2, pod: 1 }, None);
    books.left(three, 0);
    assert_eq!(sets(&books, None), [(1, 9), (2, 4), (4, 2), (8, 1)]);
    assert_eq!(sets(&books, Some(&[4, 0])), [(1, 4), (2, 2), (4, 1), (8, 0)], "the policy knows better");
}

#[test]
fn with_shares_only_the_policy_knows_which_gpus_are_free() {
    let world = world(&[node("a", 64_000, 2)], &[pod("one", 1, 1000), pod("share", 1, 300)]);
    let books = Books::new(&world);
    assert_eq!(sets(&books, None), []);
    assert_eq!(sets(&books, Some(&[1])), [(1, 1), (2, 0)], "no node has more than 2");
}
