"""A participant without a library: it keeps stock in SQLite, serves it over HTTP, and registers at a coordinator."""
import hmac, json, os, sqlite3, threading, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
TOKEN, LOCK = os.environ["HOST_TOKEN"], threading.Lock()
DB = sqlite3.connect(os.environ["STOCK_FILE"], isolation_level=None, check_same_thread=False)
DB.executescript("""PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS stock (sku TEXT PRIMARY KEY, left INTEGER NOT NULL CHECK (left >= 0));
    CREATE TABLE IF NOT EXISTS branch (tx TEXT, id TEXT, state TEXT, sku TEXT, quantity INTEGER, PRIMARY KEY (tx, id));
    INSERT OR IGNORE INTO stock VALUES ('lamp', 3);""")

def answer(call):
    method, key = call["method"], (call.get("transactionId"), call.get("branchId"))
    if method in ("claim", "forgetBelow"): return {"kind": "done"}
    if method == "capabilities": return {"kind": "capabilities", "participant": "stock", "onePhase": True, "durable": True}
    if method == "recover":  # every branch that is prepared, in one page
        prepared = DB.execute("SELECT tx, id FROM branch WHERE state = 'prepared'")
        return {"kind": "branches", "branches": [dict(zip(("transactionId", "branchId"), row)) for row in prepared], "more": False}
    state, sku, quantity = DB.execute("SELECT state, sku, quantity FROM branch WHERE tx = ? AND id = ?", key).fetchone() or (None,) * 3
    vote = prepare(key, state, call.get("payload") or {}) if method in ("prepare", "commitOnePhase") else None
    if method == "commitOnePhase" and vote == "commit" or (method, state) == ("commit", "prepared"):
        DB.execute("UPDATE branch SET state = 'committed' WHERE tx = ? AND id = ?", key)
    elif method == "rollback" and state == "prepared":
        DB.execute("UPDATE stock SET left = left + ? WHERE sku = ?", (quantity, sku))
        DB.execute("UPDATE branch SET state = 'rolled back' WHERE tx = ? AND id = ?", key)
    elif method == "rollback" and state is None:  # remembered, so that a late prepare is refused
        DB.execute("INSERT INTO branch VALUES (?, ?, 'rolled back', NULL, NULL)", key)
    elif vote is None and (method, state) not in (("commit", "committed"), ("rollback", "rolled back")):
        kind = {"committed": "commit", "rolled back": "rollback"}.get(state, "hazard")
        return {"kind": "heuristic", "heuristic": kind, "reason": f"the branch is {state or 'not known'}"}
    return {"kind": "vote", "vote": vote} if vote else {"kind": "done"}

def prepare(key, state, payload):
    refused = lambda code, reason: {"vote": "abort", "code": code, "reason": reason}
    if state is not None: return refused("ROLLED_BACK", "it was rolled back") if state == "rolled back" else "commit"
    sku, quantity = payload.get("sku"), payload.get("quantity")
    if not isinstance(sku, str) or type(quantity) is not int or not 0 < quantity < 10**6:
        return refused("BAD_PAYLOAD", "sku or quantity is wrong")
    if DB.execute("UPDATE stock SET left = left - ? WHERE sku = ? AND left >= ?", (quantity, sku, quantity)).rowcount == 0:
        return refused("OUT_OF_STOCK", "too few are left")
    DB.execute("INSERT INTO branch VALUES (?, ?, 'prepared', ?, ?)", (*key, sku, quantity))
    return "commit"

class Host(BaseHTTPRequestHandler):
    def do_POST(self):
        if not hmac.compare_digest(self.headers.get("Authorization", ""), f"Bearer {TOKEN}"): return self.send_error(401)
        message, lines = json.loads(self.rfile.read(min(int(self.headers["Content-Length"]), 10**6))), ""
        for number, call in enumerate(message["calls"]):
            with LOCK, DB:  # one transaction of the database for each call, durable before the answer leaves
                DB.execute("BEGIN IMMEDIATE")
                lines += json.dumps({"id": number, **answer(call)}) + "\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.end_headers()
        self.wfile.write(lines.encode())
server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Host)
headers = {"Authorization": "Bearer " + os.environ["PARTICIPANT_TOKEN"], "Content-Type": "application/json"}
address = json.dumps({"address": f"http://127.0.0.1:{server.server_port}"}).encode()
ask = urllib.request.Request(os.environ["COORDINATOR"] + "/participants/stock", address, headers, method="PUT")
threading.Timer(0.1, lambda: print(urllib.request.urlopen(ask, timeout=10).status, flush=True)).start()
server.serve_forever()
