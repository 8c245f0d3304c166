//! sqlx and its `SQLite`.

use std::{path::PathBuf, time::Duration};

use futures::TryStreamExt;
use sqlx::{
    Connection, Executor, Row, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use crate::park::{leaf, parks, tracked, turn};

const HOUR: Duration = Duration::from_hours(1);

/// Takes hours.
const LONG: &str = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers \
                    WHERE n < 100000000000) SELECT max(n) FROM numbers";

/// A database that two connections have. It is removed when all is over.
pub(crate) fn file() -> PathBuf {
    std::env::temp_dir().join(format!("parked-{}.db", std::process::id()))
}

/// A pool of one connection.
async fn pool() -> SqlitePool {
    let options = SqlitePoolOptions::new().max_connections(1).acquire_timeout(HOUR);
    options.connect("sqlite::memory:").await.expect("a pool")
}

pub(super) fn spawn() {
    tracked("acquire of a pool without another connection", async {
        let pool = pool().await;
        let first = pool.acquire().await;
        let second = pool.acquire().await; //~
        drop((first, second));
    });
    parks("begin of a pool without another connection", async {
        let pool = pool().await;
        let _first = pool.begin().await?;
        pool.begin().await?.commit().await //~
    });
    parks("a query that waits for a connection", async {
        let pool = pool().await;
        let _first = pool.acquire().await?;
        sqlx::query("SELECT 1").execute(&pool).await.map(drop) //~
    });
    parks("fetch_one of a function", async {
        async fn load(pool: &SqlitePool) -> sqlx::Result<i64> {
            let row = sqlx::query("SELECT 1").fetch_one(pool).await?; //~ 2
            row.try_get(0)
        }
        let pool = pool().await;
        let _first = pool.acquire().await?;
        load(&pool).await //~ 1
    });
    parks("a transaction, while something else is awaited", async {
        let pool = pool().await;
        let mut begun = pool.begin().await?;
        sqlx::query("CREATE TABLE t (a INTEGER)").execute(&mut *begun).await?;
        leaf::<()>().await; //~ leaf
        begun.commit().await
    });
    parks("a query that takes long", async {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await?;
        sqlx::query(LONG).fetch_one(&mut connection).await.map(drop) //~
    });
    parks("the rows of a query that takes long", async {
        let pool = pool().await;
        let mut rows = sqlx::query(LONG).fetch(&pool);
        while let Some(row) = rows.try_next().await? {
            //~
            drop(row);
        }
        Ok::<(), sqlx::Error>(())
    });
    parks("what is done with a row", async {
        let pool = pool().await;
        let mut rows = sqlx::query("SELECT 1 UNION ALL SELECT 2").fetch(&pool);
        while let Some(row) = rows.try_next().await? {
            turn().await;
            leaf::<()>().await; //~ leaf
            drop(row);
        }
        Ok::<(), sqlx::Error>(())
    });
    parks("execute of many", async {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await?;
        connection.execute("SELECT 1").await?;
        connection.execute(LONG).await.map(drop) //~
    });
    parks("close of a pool with a connection", async {
        let pool = pool().await;
        let first = pool.acquire().await;
        pool.close().await; //~
        drop(first);
    });
    parks("a connection that waits for the lock of another", async {
        let options = SqliteConnectOptions::new().filename(file()).create_if_missing(true);
        let options = options.busy_timeout(HOUR);
        let mut first = SqliteConnection::connect_with(&options).await?;
        let mut second = SqliteConnection::connect_with(&options).await?;
        first.execute("BEGIN EXCLUSIVE").await?;
        second.execute("BEGIN EXCLUSIVE").await.map(drop) //~
    });
}
