"""tokenize-adapt: adapt the vocabulary to the training captions and turn all captions into ids."""

from captioner.backend import use_backend
from captioner.config import Params
from captioner.stages import CAPTIONS, TOKENS, stage


@stage
def main(params: Params) -> None:
    use_backend("tensorflow")
    from captioner.text.tokenize import tokenize_adapt

    vocabulary = tokenize_adapt(params.text, CAPTIONS, TOKENS)
    print(f"{len(vocabulary)} words in {TOKENS / 'vocabulary.txt'}")


if __name__ == "__main__":
    main()
