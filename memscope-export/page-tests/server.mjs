// A server as the page expects one, for tests: the live page, one snapshot, and a stream of them.

import { createServer } from "node:http";

export async function serve(page, policy) {
    const streams = new Set();
    const sockets = new Set();
    const server = {
        snapshot: null,
        holders: null,
        refusesStreams: false,
        asked: [],
        address: "",
        send: () => streams.forEach((it) => it.write(event(server.snapshot))),
        // As a process that ends: connections are cut.
        cut: () => sockets.forEach((it) => it.destroy()),
        close: () => http.close(),
    };
    const event = (snapshot) => `event: snapshot\ndata: ${JSON.stringify(snapshot)}\n\n`;
    const json = (response, value) => {
        response.writeHead(value ? 200 : 404, { "content-type": "application/json" });
        response.end(value ? JSON.stringify(value) : "");
    };
    const http = createServer((request, response) => {
        const path = request.url.split("?")[0];
        server.asked.push(request.url);
        if (path === "/") {
            response.writeHead(200, {
                "content-type": "text/html",
                "content-security-policy": policy,
            });
            response.end(page);
        } else if (path === "/events" && !server.refusesStreams) {
            response.writeHead(200, { "content-type": "text/event-stream" });
            response.write("retry: 200\n\n");
            response.write(event(server.snapshot));
            streams.add(response);
            response.on("close", () => streams.delete(response));
        } else if (path === "/snapshot.json") json(response, server.snapshot);
        else if (path === "/holders.json") json(response, server.holders);
        else json(response, null);
    });
    http.on("connection", (socket) => {
        sockets.add(socket);
        socket.on("close", () => sockets.delete(socket));
    });
    await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
    server.address = `http://127.0.0.1:${http.address().port}/`;
    return server;
}
