/* The cairn program. */
int main(void)
{
    return 0;
}
