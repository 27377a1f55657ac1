"""What all answers of the studio share: bodies that are read, and sentences of refusals."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ganatomy.config import Config, explain_validation_error
from ganatomy.errors import Ended, Refused
from ganatomy.studio.maker import ReplacedError

MAX_BODY = 2**20  # bytes of a request

Body = TypeVar("Body", bound=Config)


async def read_body(request: Request, model: type[Body]) -> Body:
    """Read the body of a request.

    Raises:
        Refused: it is too long, or something else than the page sends.
    """
    text = b""
    async for part in request.stream():
        text += part
        if len(text) > MAX_BODY:
            raise Refused(f"The request has more than {MAX_BODY} bytes, and is refused.")
    try:
        return model.model_validate(json.loads(text))
    except ValidationError as error:
        raise Refused(f"The request is not what the page sends: {explain_validation_error(error, model)}.") from error
    except (ValueError, RecursionError) as error:
        raise Refused("The request is not JSON.") from error


def tell_ended(request: Request, error: Exception) -> Response:
    """Answer with the sentence of a refusal."""
    return JSONResponse({"problem": str(error)}, 400)


def tell_replaced(request: Request, error: Exception) -> Response:
    """Answer nothing: the page has asked for something newer, which is no fault that a browser should report."""
    return Response(status_code=204)


def tell_missing(request: Request, error: Exception) -> Response:
    """Answer that there is nothing at an address."""
    told = {"problem": "There is nothing at this address of the studio."}
    return JSONResponse(told, getattr(error, "status_code", 404))


HANDLERS: Mapping[Any, Any] = {ReplacedError: tell_replaced, Ended: tell_ended, HTTPException: tell_missing}
