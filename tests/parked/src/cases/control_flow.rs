//! Awaits in all places that the language has for them, where a line that looks right is easily
//! wrong.

use std::{
    cell::RefCell,
    future::{Future, pending},
    hint::black_box,
    pin::{Pin, pin},
    rc::Rc,
};

use crate::park::{leaf, local, on_local_set, parks, tracked, turn};

type Outcome<T = ()> = Result<T, ()>;
type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn two(first: u8, second: u8) -> u8 {
    first + leaf::<u8>().await + second
}

pub(super) fn spawn() {
    expressions();
    branches();
    loops();
    functions();
    kept();
    on_local_set(local_ones);
}

fn expressions() {
    tracked("the second of two arguments", async {
        let all = [
            async { 1 }.await,
            leaf::<u8>().await, //~ leaf
            async { 3 }.await,
        ];
        black_box(all);
    });
    parks("an argument of a call that is awaited", async {
        std::future::ready(
            leaf::<u8>().await, //~ leaf
        )
        .await
    });
    parks("the call, after its arguments were awaited", async {
        async fn sum(first: u8, second: u8) -> u8 {
            turn().await;
            first + second + leaf::<u8>().await //~ 2 leaf
        }
        sum(async { 1 }.await, async { 2 }.await).await //~ 1
    });
    parks("the second of a tuple of awaits of one function", async {
        let it = (
            std::future::ready(1).await,
            std::future::pending::<u8>().await, //~
            std::future::ready(1).await,
        );
        black_box(it);
    });
    parks("a chain over several lines", async {
        async { String::from("a") }
            .await
            .to_uppercase()
            .chars()
            .map(|it| async move { (it, leaf::<u8>().await) }) //~ 2 leaf
            .next()
            .expect("one")
            .await //~ 1
    });
    parks("? over several lines", async {
        let it: Outcome<u8> = async { Ok(1) }.await.and_then(|it: u8| it.checked_add(1).ok_or(()));
        let it = it?
            .checked_add(
                leaf::<Outcome<u8>>().await?, //~ leaf
            )
            .ok_or(())?;
        Outcome::Ok(it)
    });
    parks("format! of awaits", async {
        format!(
            "{} {}",
            async { 1 }.await,
            leaf::<u8>().await, //~ leaf
        )
    });
    parks("a field of a literal", async {
        struct Pair(u8, u8);
        let it = Pair {
            0: async { 1 }.await,
            1: leaf().await, //~ leaf
        };
        black_box((it.0, it.1));
    });
    parks("an index", async {
        let all = [1, 2];
        all[leaf::<usize>().await] //~ leaf
    });
    parks("the right side of an operator", async {
        async { 1_u8 }.await + async { 2 }.await + leaf::<u8>().await //~ leaf
    });
    parks("the second operand of &&", async {
        async { true }.await && leaf::<bool>().await //~ leaf
    });
    parks("two awaits on a line, of which the second waits", async {
        (turn().await, leaf::<()>().await) //~ leaf
    });
    parks("a macro of this program", async {
        macro_rules! awaits {
            ($future:expr) => {
                $future.await //~ leaf
            };
        }
        awaits!(turn());
        awaits!(leaf::<()>());
    });
    parks("an await in a closure that is async", async {
        let works = async |it: u8| it + leaf::<u8>().await; //~ 2 leaf
        works(1).await //~ 1
    });
    parks("an async closure that is called twice", async {
        let mut calls = 0;
        let mut works = async || {
            calls += 1;
            if calls == 1 {
                turn().await;
            } else {
                leaf::<()>().await; //~ 2 leaf
            }
        };
        works().await;
        works().await; //~ 1
    });
}

fn branches() {
    parks("an arm of a match", async {
        match black_box(2) {
            1 => leaf::<()>().await,
            2 => leaf::<()>().await, //~ leaf
            _ => pending::<()>().await,
        }
    });
    parks("the scrutinee of a match", async {
        match leaf::<u8>().await {
            //~ leaf
            1 => turn().await,
            _ => pending().await,
        }
    });
    parks("the guard's arm after an awaited scrutinee", async {
        match async { 1 }.await {
            it if it > 1 => leaf::<()>().await,
            it => {
                black_box(it);
                leaf::<()>().await; //~ leaf
            }
        }
    });
    parks("the else of an if", async {
        if async { false }.await {
            leaf::<()>().await;
        } else {
            leaf::<()>().await; //~ leaf
        }
    });
    parks("let else", async {
        let Some(it) = async { None::<u8> }.await else {
            return leaf::<u8>().await; //~ leaf
        };
        it + leaf::<u8>().await
    });
    parks("if let with a temporary that lives on", async {
        let lock = tokio::sync::Mutex::new(Some(1));
        if let Some(it) = *lock.lock().await {
            black_box(it);
            leaf::<()>().await; //~ leaf
        }
    });
    parks("a chain of lets", async {
        if let Some(it) = async { Some(1_u8) }.await
            && let Some(other) = leaf::<Option<u8>>().await
        //~ leaf
        {
            black_box(it + other);
        }
    });
    parks("a labelled block", async {
        let it = 'out: {
            if async { true }.await {
                break 'out leaf::<u8>().await; //~ leaf
            }
            leaf::<u8>().await
        };
        black_box(it);
    });
    parks("both arms await futures of one type", async {
        let number = black_box(2);
        let inner = two(number, 1);
        if number == 1 {
            inner.await
        } else {
            turn().await;
            leaf::<()>().await; //~ leaf
            inner.await
        }
    });
}

fn loops() {
    tracked("the second turn of a loop", async {
        for at in 0..2 {
            if at == 0 {
                turn().await;
                continue;
            }
            leaf::<()>().await; //~ leaf
        }
    });
    parks("the condition of a while, in its second turn", async {
        let mut turns = 0;
        while async {
            turns += 1;
            if turns == 1 { true } else { leaf::<bool>().await } //~ 2 leaf
        }
        .await
        //~ 1
        {
            turn().await;
        }
    });
    parks("a nested loop that was left", async {
        'outer: loop {
            loop {
                turn().await;
                if black_box(true) {
                    break 'outer;
                }
                leaf::<()>().await;
            }
        }
        leaf::<()>().await; //~ leaf
    });
    parks("one line after fifty turns", async {
        for _ in 0..50 {
            turn().await;
        }
        leaf::<()>().await; //~ leaf
    });
}

fn functions() {
    parks("recursion", async {
        fn down(depth: u32) -> Boxed {
            Box::pin(async move {
                if depth == 0 {
                    leaf::<()>().await; //~ 5 leaf
                } else {
                    down(depth - 1).await; //~ 2 3 4
                }
            })
        }
        down(3).await; //~ 1
    });
    parks("an async fn that calls itself", async {
        async fn down(depth: u32) {
            if depth == 0 {
                leaf::<()>().await; //~ 4 leaf
            } else {
                turn().await;
                Box::pin(down(depth - 1)).await; //~ 2 3
            }
        }
        down(2).await; //~ 1
    });
    parks("a generic function, of one of two types", async {
        async fn with<T: Default + Send>(waits: bool) -> T {
            if waits {
                leaf::<()>().await; //~ 2 leaf
            }
            turn().await;
            T::default()
        }
        let small = with::<u8>(false).await;
        let large = with::<[u64; 8]>(true).await; //~ 1
        black_box((small, large));
    });
    parks("a generic function over what it awaits", async {
        async fn twice<F: Future + Send, M: Fn(bool) -> F + Send>(make: M) {
            make(false).await;
            make(true).await; //~ 2
        }
        twice(|waits| async move {
            if waits {
                leaf::<()>().await; //~ 3 leaf
            }
        })
        .await; //~ 1
    });
    parks("a function of a const generic", async {
        async fn of<const N: usize>() -> [u8; N] {
            let all = [1; N];
            if N == 3 {
                leaf::<()>().await; //~ 2 leaf
            }
            all
        }
        let (small, large) = (of::<2>().await, of::<3>().await); //~ 1
        black_box((small, large));
    });
    parks("blocks in blocks", async {
        async {
            async {
                turn().await;
                async { leaf::<()>().await }.await; //~ 3 4 leaf
            }
            .await; //~ 2
        }
        .await; //~ 1
    });
    parks("a method with self", async {
        struct Worker(Vec<u8>);
        impl Worker {
            async fn works(&mut self) -> usize {
                self.0.push(1);
                self.waits().await //~ 2
            }
            async fn waits(&self) -> usize {
                self.0.len() + leaf::<usize>().await //~ 3 leaf
            }
        }
        Worker(Vec::new()).works().await //~ 1
    });
    parks("a fn that returns an impl Future", async {
        fn makes(first: bool) -> impl Future<Output = ()> {
            let number = black_box(1);
            async move {
                if first {
                    leaf::<()>().await;
                }
                black_box(number);
                leaf::<()>().await; //~ 2 leaf
            }
        }
        makes(black_box(false)).await; //~ 1
    });
}

fn kept() {
    parks("a future that was made and never polled", async {
        let kept = two(1, 2);
        turn().await;
        leaf::<()>().await; //~ leaf
        kept.await
    });
    tracked("a future that was polled once and is kept", async {
        let mut kept = Box::pin(two(1, 2));
        let _ = futures::poll!(&mut kept);
        leaf::<()>().await; //~ leaf
        kept.await
    });
    parks("a future that is over and is kept", async {
        let mut kept = Box::pin(turn());
        (&mut kept).await;
        pending::<()>().await; //~
        drop(kept);
    });
    parks("a future that was moved into another box", async {
        let first: Boxed = Box::pin(async { leaf::<()>().await }); //~ 2 leaf
        let mut all: Vec<Option<Boxed>> = vec![None, Some(first)];
        let moved = all.swap_remove(1).expect("it is there");
        moved.await; //~ 1
        drop(all);
    });
    parks("one of many boxed futures, by its index", async {
        let mut all: Vec<Boxed> = Vec::new();
        for at in 0..4 {
            all.push(Box::pin(async move {
                if at < 2 {
                    turn().await;
                } else {
                    leaf::<()>().await; //~ 2 leaf
                }
            }));
        }
        for one in &mut all {
            one.await; //~ 1
        }
    });
    parks("a shadowed variable", async {
        let it = Box::pin(async { leaf::<()>().await });
        let it = Box::pin(async move {
            let _kept = it;
            turn().await;
            leaf::<()>().await; //~ 2 leaf
        });
        it.await; //~ 1
    });
    parks("a pinned future that is replaced", async {
        let mut kept = pin!(Some(Box::pin(async { leaf::<()>().await })));
        let _ = futures::poll!(kept.as_mut().get_mut().as_mut().expect("it is there"));
        kept.set(None);
        let other = pin!(async { leaf::<()>().await }); //~ 2 leaf
        other.await; //~ 1
    });
    parks("a variable with the name of an awaited one", async {
        let __awaitee = Box::pin(two(1, 2));
        leaf::<()>().await; //~ leaf
        __awaitee.await
    });
    parks("a borrowed trait object", async {
        let mut inner = pin!(async {
            turn().await;
            leaf::<()>().await; //~ 2 leaf
        });
        let borrowed: Pin<&mut (dyn Future<Output = ()> + Send)> = inner.as_mut();
        borrowed.await; //~ 1
    });
    parks("what a boxed function has made", async {
        type Make = Box<dyn FnOnce(u8) -> Boxed + Send>;
        let makes: [Make; 2] = [
            Box::new(|_| Box::pin(turn())),
            Box::new(|it| {
                Box::pin(async move {
                    black_box(it);
                    leaf::<()>().await; //~ 2 leaf
                })
            }),
        ];
        for make in makes {
            make(1).await; //~ 1
        }
    });
    parks("a future that Tokio boxes, as it is large", async {
        let large = [1_u8; 30_000];
        turn().await;
        leaf::<()>().await; //~ leaf
        black_box(&large);
    });
    tracked("a large one that is tracked", async {
        let large = [1_u8; 30_000];
        leaf::<()>().await; //~ leaf
        black_box(&large);
    });
    parks("a future with a large alignment", async {
        #[repr(align(128))]
        struct Aligned([u8; 128]);
        let aligned = Aligned([1; 128]);
        async { leaf::<()>().await }.await; //~ 1 2 leaf
        black_box(&aligned.0);
    });
    parks("a future in the place of one that is over", async {
        let mut place: Boxed = Box::pin(turn());
        (&mut place).await;
        place = Box::pin(async {
            turn().await;
            leaf::<()>().await; //~ 2 leaf
        });
        place.await; //~ 1
    });
}

fn local_ones() {
    local("a future in an Rc and a RefCell", async {
        let shared = Rc::new(RefCell::new(Box::pin(async { leaf::<()>().await }))); //~ 2 leaf
        std::future::poll_fn(|context| shared.borrow_mut().as_mut().poll(context)).await; //~ 1
    });
    local("a borrow of a local future", async {
        let mut inner = pin!(async { leaf::<()>().await }); //~ 3 leaf
        let outer = async {
            turn().await;
            inner.as_mut().await; //~ 2
        };
        outer.await; //~ 1
    });
}
