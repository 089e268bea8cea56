"""Kept answers in the usual way: FastAPI finds a finished answer in Redis by a digest of the request.

scripts/bench_http starts this with uvicorn, and measures it next to SCV.
"""

import hashlib
import json
import os

from fastapi import FastAPI, Response
from pydantic import BaseModel
import redis.asyncio

app = FastAPI()
answers = redis.asyncio.Redis(unix_socket_path=os.environ["BENCH_REDIS_SOCKET"])


class Request(BaseModel):
    query: str
    variables: dict = {}


@app.post("/graphql")
async def graphql(request: Request):
    question = json.dumps([request.query, request.variables], sort_keys=True).encode()
    answer = await answers.get(hashlib.sha256(question).digest())
    return Response(answer, 200 if answer else 404, media_type="application/json")


@app.put("/graphql")
async def keep(request: Request, answer: str):
    question = json.dumps([request.query, request.variables], sort_keys=True).encode()
    await answers.set(hashlib.sha256(question).digest(), answer)
