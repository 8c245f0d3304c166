//! Input and output, sockets, signals and processes.

use std::{future::pending, process::Stdio};

use tokio::{
    io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, UdpSocket, UnixStream},
    process::{Child, ChildStdin, Command},
    signal::unix::{SignalKind, signal},
};

use crate::park::{leaf, parks, tracked};

async fn connected() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    Ok((client, listener.accept().await?.0))
}

/// A child that ends with its input, and so with this process.
fn child() -> io::Result<(Child, Option<ChildStdin>)> {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let input = child.stdin.take();
    Ok((child, input))
}

pub(super) fn spawn() {
    tracked("read of a duplex", async {
        let (mut read, _write) = io::duplex(8);
        read.read(&mut [0]).await //~
    });
    parks("read_exact, after a part", async {
        let (mut read, mut write) = io::duplex(8);
        write.write_all(b"abc").await?;
        read.read_exact(&mut [0; 4]).await //~
    });
    parks("read_to_end", async {
        let (mut read, _write) = io::duplex(8);
        read.read_to_end(&mut Vec::new()).await //~
    });
    parks("read_u32", async {
        let (mut read, _write) = io::duplex(8);
        read.read_u32().await //~
    });
    parks("read_line", async {
        let (read, mut write) = io::duplex(8);
        write.write_all(b"a\nb").await?;
        let mut read = BufReader::new(read);
        let mut line = String::new();
        read.read_line(&mut line).await?;
        read.read_line(&mut line).await //~
    });
    parks("next_line", async {
        let (read, _write) = io::duplex(8);
        BufReader::new(read).lines().next_line().await //~
    });
    parks("read_until", async {
        let (read, _write) = io::duplex(8);
        BufReader::new(read).read_until(0, &mut Vec::new()).await //~
    });
    parks("write_all into a full duplex", async {
        let (_read, mut write) = io::duplex(2);
        write.write_all(b"abc").await //~
    });
    parks("copy", async {
        let (mut read, mut write) = (io::duplex(2), io::duplex(2));
        io::copy(&mut read.0, &mut write.0).await //~
    });
    parks("copy_bidirectional", async {
        let (mut read, mut write) = (io::duplex(2), io::duplex(2));
        io::copy_bidirectional(&mut read.0, &mut write.0).await //~
    });
    parks("read of a half", async {
        let (both, _other) = io::duplex(2);
        let (mut read, _write) = io::split(both);
        read.read(&mut [0]).await //~
    });
    parks("read of a chain, in its second", async {
        let (waits, _write) = io::duplex(2);
        let mut all = io::empty().chain(waits).take(9);
        all.read(&mut [0]).await //~
    });
    parks("accept", async {
        TcpListener::bind("127.0.0.1:0").await?.accept().await.map(drop) //~
    });
    parks("read of a socket", async {
        let (mut client, _server) = connected().await?;
        client.read(&mut [0]).await //~
    });
    parks("what is done with an accepted socket", async {
        let (client, server) = connected().await?;
        leaf::<()>().await; //~ leaf
        drop((client, server));
        io::Result::Ok(())
    });
    parks("readable of a split socket", async {
        let (client, _server) = connected().await?;
        let (read, _write) = client.into_split();
        read.readable().await //~
    });
    parks("recv_from", async {
        UdpSocket::bind("127.0.0.1:0").await?.recv_from(&mut [0]).await //~
    });
    parks("read of a Unix socket", async {
        let (mut first, _second) = UnixStream::pair()?;
        first.read(&mut [0]).await //~
    });
    parks("a signal", async {
        let mut hangup = signal(SignalKind::user_defined2())?;
        hangup.recv().await; //~
        io::Result::Ok(())
    });
    parks("wait of a child", async {
        let (mut child, input) = child()?;
        let end = child.wait().await; //~
        drop(input);
        end
    });
    parks("wait_with_output of a child", async {
        let (child, input) = child()?;
        let output = child.wait_with_output().await; //~
        drop(input);
        output
    });
    parks("read of a child's output", async {
        let (mut child, input) = child()?;
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let line = lines.next_line().await; //~
        drop((child, input));
        line
    });
    parks("after a child has ended", async {
        let ended = Command::new("true").status().await;
        pending::<()>().await; //~
        drop(ended);
    });
}
