// scenario.js - what a program on nats.js does with a broker, step by step; run by spec/broker_natsjs_spec.lua.
// scenario.js URL [TOKEN]: prints a line for each step; ends with 1 at the first that fails.  At "restart now" it waits until
// the broker has gone and come again, and after "back" for a message to "after".
// SPDX-License-Identifier: MIT
"use strict";
const assert = require("node:assert/strict");
const { connect, headers, Empty, ErrorCode, Events, StringCodec } = require("nats");

const [url, token] = process.argv.slice(2);
const { encode, decode } = StringCodec();
const SECONDS = 30;

const open = () => connect({ servers: url, token, timeout: SECONDS * 1000, reconnectTimeWait: 20, maxReconnectAttempts: -1 });

// The next message of a subscription, which has one iterator only.
const iterators = new WeakMap();

async function next(sub) {
  if (!iterators.has(sub)) iterators.set(sub, sub[Symbol.asyncIterator]());
  const { value, done } = await iterators.get(sub).next();
  return done ? null : value;
}

const steps = {
  async plain(nc) {
    const sub = nc.subscribe("plain");
    nc.publish("plain", encode("one"));
    nc.publish("other", encode("no"));
    nc.publish("plain", Empty);
    const one = await next(sub);
    assert.deepEqual([one.subject, decode(one.data), one.reply], ["plain", "one", ""]);
    assert.equal((await next(sub)).data.length, 0);
    sub.unsubscribe();
    await nc.flush();
  },

  async wildcards(nc) {
    const star = nc.subscribe("w.*.c"), all = nc.subscribe("w.>");
    for (const subject of ["w.b.c", "w.b", "w.b.c.d"]) nc.publish(subject);
    assert.equal((await next(star)).subject, "w.b.c");
    for (const subject of ["w.b.c", "w.b", "w.b.c.d"]) assert.equal((await next(all)).subject, subject);
    star.unsubscribe();
    all.unsubscribe();
  },

  async queue(nc) {
    const other = await open();
    const counts = [0, 0];
    let all;
    const done = new Promise((resolve) => all = resolve);
    [nc, other].forEach((one, i) => one.subscribe("jobs", {
      queue: "workers",
      callback() {
        counts[i]++;
        if (counts[0] + counts[1] === 200) all();
      },
    }));
    await nc.flush();
    await other.flush();
    for (let i = 0; i < 200; i++) nc.publish("jobs", encode(`${i}`));
    await done;
    assert.ok(counts[0] > 20 && counts[1] > 20, `${counts}`);
    await nc.flush();
    assert.equal(counts[0] + counts[1], 200);
    await other.close();
  },

  async requests(nc) {
    nc.subscribe("add", {
      callback(_, msg) {
        const [a, b] = decode(msg.data).split(" ");
        msg.respond(encode(`${Number(a) + Number(b)}`));
      },
    });
    const answers = await Promise.all([...Array(50).keys()].map((i) => nc.request("add", encode(`${i} 1`), { timeout: SECONDS * 1000 })));
    answers.forEach((msg, i) => assert.equal(decode(msg.data), `${i + 1}`));
    assert.equal(decode((await nc.request("add", encode("1 1"), { noMux: true, timeout: SECONDS * 1000 })).data), "2");
    await assert.rejects(nc.request("nobody", Empty, { timeout: SECONDS * 1000 }), { code: ErrorCode.NoResponders });
    nc.subscribe("silent");
    await assert.rejects(nc.request("silent", Empty, { timeout: 50 }), { code: ErrorCode.Timeout });
  },

  async many(nc) {
    nc.subscribe("each", { callback: (_, msg) => { for (const part of ["a", "b", "c"]) msg.respond(encode(part)); } });
    const parts = [];
    const answers = await nc.requestMany("each", Empty, { strategy: "count", maxMessages: 3, maxWait: SECONDS * 1000 });
    for await (const msg of answers) parts.push(decode(msg.data));
    assert.deepEqual(parts, ["a", "b", "c"]);
  },

  async headers(nc) {
    const sub = nc.subscribe("headed");
    const said = headers();
    said.append("A", "1");
    said.append("A", "2");
    said.set("Umlaut", "ä");
    nc.publish("headed", encode("body"), { headers: said, reply: "to.me" });
    const msg = await next(sub);
    assert.deepEqual(msg.headers.values("A"), ["1", "2"]);
    assert.equal(msg.headers.get("Umlaut"), "ä");
    assert.deepEqual([decode(msg.data), msg.reply], ["body", "to.me"]);
    sub.unsubscribe();
  },

  async maximum(nc) {
    const sub = nc.subscribe("few", { max: 3 });
    for (let i = 0; i < 5; i++) nc.publish("few", encode(`${i}`));
    const got = [];
    for await (const msg of sub) got.push(decode(msg.data));
    assert.deepEqual(got, ["0", "1", "2"]);
  },

  async big(nc) {
    const sub = nc.subscribe("big", { max: 2 });
    const data = new Uint8Array(nc.info.max_payload);
    crypto.getRandomValues(data.subarray(0, 65536));
    nc.publish("big", data);
    nc.publish("big", data);
    for await (const msg of sub) assert.equal(Buffer.compare(msg.data, data), 0);
    assert.throws(() => nc.publish("big", new Uint8Array(nc.info.max_payload + 1)), { code: ErrorCode.MaxPayloadExceeded });
    assert.ok(await nc.rtt() >= 0);
  },

  async drain(nc) {
    const other = await open();
    const got = [];
    const sub = other.subscribe("last.*", { callback: (_, msg) => got.push(msg.subject) });
    await other.flush();
    for (let i = 0; i < 500; i++) nc.publish(`last.${i}`);
    await nc.flush();
    await other.drain();
    assert.equal(got.length, 500);
    assert.ok(sub.isClosed() && other.isClosed());
  },

  async restart(nc) {
    const sub = nc.subscribe("after"), grouped = nc.subscribe("after", { queue: "g" });
    await nc.flush();
    const status = nc.status();
    console.log("restart now");
    for await (const event of status) if (event.type === Events.Reconnect) break;
    await nc.flush();
    console.log("back");
    assert.equal(decode((await next(sub)).data), "again");
    assert.equal(decode((await next(grouped)).data), "again");
  },
};

async function main() {
  const nc = await open();
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step(nc);
    } catch (error) {
      console.log(`failed: ${name}: ${error.stack}`);
      process.exit(1);
    }
    console.log(name);
  }
  await nc.close();
}

main().catch((error) => {
  console.log(`failed: connect: ${error.message}`);
  process.exit(1);
});
