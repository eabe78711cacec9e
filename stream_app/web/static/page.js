// Replaces the live part of the page every two seconds; marks the page when the worker is silent.
"use strict";
const live = document.getElementById("live");
async function refresh() {
  try {
    const reply = await fetch("/fragment", { signal: AbortSignal.timeout(5000) });
    if (!reply.ok) throw new Error(String(reply.status));
    live.innerHTML = await reply.text();
    live.classList.remove("offline");
  } catch {
    live.classList.add("offline");
  }
  setTimeout(refresh, 2000);
}
setTimeout(refresh, 2000);
