"""Lambda entry behind API Gateway."""

from mangum import Mangum

from handler.bootstrap import build_app

app = build_app()
handler = Mangum(app, lifespan="off")
