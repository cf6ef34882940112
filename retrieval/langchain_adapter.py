"""A door out: this package's search as a LangChain retriever."""

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, SkipValidation

from core.permissions import Reader
from retrieval.passages import Retriever


class LangChainRetriever(BaseRetriever):  # type: ignore[misc]
    """Searches on behalf of one reader: make one for every person.

    Example:
        chain = LangChainRetriever(retriever=retrieval.retriever, reader=reader_of(account)) | ...
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    retriever: SkipValidation[Retriever]
    reader: Reader
    limit: int = 4

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        passages = self.retriever.search(query, limit=self.limit, reader=self.reader)
        return [
            Document(
                id=str(passage.chunk_id),
                page_content=passage.text,
                metadata={
                    "source": passage.document,
                    "title": passage.title,
                    "location": passage.location,
                    "score": passage.score,
                },
            )
            for passage in passages
        ]
