-- One POST, the same each time: EP_BENCH_BODY names the file of its body, EP_BENCH_KEY the gateway key.
local file = assert(io.open(os.getenv("EP_BENCH_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("EP_BENCH_KEY")
